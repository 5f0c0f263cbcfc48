"""Damage, interruption and everything else that must not change what comes out."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ovs_jax.data.ingest import IngestOptions, ingest
from ovs_jax.data.ingest.work import DROPPED
from ovs_jax.data.manifest import MANIFEST, PROGRESS
from ovs_jax.data.sources import open_image_text
from tests.data.damage import damaged_folder, damaged_rows, damaged_tars

Photos = list[tuple[bytes, str]]
ROOT = Path(__file__).resolve().parents[3]
SMALL = IngestOptions(records_per_shard=2, max_bad_share=0.8)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def rows(tmp_path: Path, photos: Photos) -> Path:
    """A table of eight images, which makes four shards."""
    (tmp_path / "in").mkdir()
    damaged_rows(tmp_path / "in" / "rows.jsonl", photos)
    lines = (tmp_path / "in" / "rows.jsonl").read_bytes().split(b"\n")
    whole = [line for line in lines if b"photo " in line]
    (tmp_path / "in" / "rows.jsonl").write_bytes(b"\n".join(whole))
    return tmp_path / "in" / "rows.jsonl"


@pytest.mark.parametrize(("damage", "kinds"), [("folder", 13), ("tars", 24), ("rows", 12)])
def test_every_damage_is_counted_and_nothing_else_is_lost(
    damage: str, kinds: int, tmp_path: Path, photos: Photos, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "in"
    if damage == "rows":
        source.mkdir()
        source = source / "t.jsonl"
    make = {"folder": damaged_folder, "tars": damaged_tars, "rows": damaged_rows}[damage]
    found = make(source, photos)
    assert found.dropped.total() == kinds
    manifest = ingest(source, tmp_path / "out", replace(SMALL, records_per_shard=5))
    assert manifest.dropped == dict(found.dropped)
    assert manifest.read == len(found.kept) + found.dropped.total()
    assert Counter(open_image_text(tmp_path / "out").captions()) == Counter(found.kept)
    assert len((tmp_path / "out" / DROPPED).read_text().splitlines()) == found.dropped.total()
    assert "dropped 1 ×" in caplog.text
    entries = {path.name for path in tmp_path.iterdir()}
    assert entries == {"in", "out"}  # nothing was unpacked


def test_the_number_of_workers_changes_nothing(tmp_path: Path, photos: Photos) -> None:
    damaged_folder(tmp_path / "in", photos)
    for workers in (1, 2):
        ingest(tmp_path / "in", tmp_path / f"out{workers}", replace(SMALL, workers=workers))
    assert content(tmp_path / "out1") == content(tmp_path / "out2")


DIES = """
import os, signal, sys
from ovs_jax.data.ingest import IngestOptions, ingest, work
checks, left = work.outcomes, [5]
def outcomes(*given, **named):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return checks(*given, **named)
work.outcomes = outcomes
ingest(sys.argv[1], sys.argv[2], IngestOptions(records_per_shard=2, max_bad_share=0.8))
"""


def test_a_kill_within_a_shard_and_resume_give_the_same_bytes(tmp_path: Path, rows: Path) -> None:
    ingest(rows, tmp_path / "whole", SMALL)
    out = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", DIES, str(rows), str(out)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((out / PROGRESS).glob("0000?.json"))) == 2
    assert list(out.rglob("*.draft"))  # it was in the middle of the third
    with pytest.raises(FileNotFoundError, match=r"not finished.* --resume"):
        open_image_text(out)
    with pytest.raises(ValueError, match=r"interrupted; go on with --resume, or remove"):
        ingest(rows, out, SMALL)
    shards = "shard-*.array_record"
    before = {path.name: path.stat().st_mtime_ns for path in out.glob(shards)}
    assert len(before) == 2
    ingest(rows, out, replace(SMALL, resume=True))
    after = {path.name: path.stat().st_mtime_ns for path in out.glob(shards)}
    assert before.items() < after.items()  # what was whole was not made again
    assert content(out) == content(tmp_path / "whole")


SLOW = """
import sys, time
from ovs_jax.data.ingest import IngestOptions, ingest, work
class Slow:
    name = None
    def __call__(self, record):
        time.sleep(0.15)
if __name__ == "__main__":
    options = IngestOptions(records_per_shard=2, workers=2)
    ingest(sys.argv[1], sys.argv[2], options, keep=Slow())
"""


def test_workers_die_with_a_killed_ingest_and_leave_what_can_be_resumed(
    tmp_path: Path, rows: Path
) -> None:
    ingest(rows, tmp_path / "whole", SMALL)
    out = tmp_path / "killed"
    (tmp_path / "slow.py").write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "slow.py"), str(rows), str(out)]
    process = subprocess.Popen(command, env=environment)
    limit = time.monotonic() + 60
    while not list(out.glob(f"{PROGRESS}/0000?.json")) and time.monotonic() < limit:
        time.sleep(0.01)
    with pytest.raises(ValueError, match="another process is writing"):
        ingest(rows, out, replace(SMALL, resume=True))
    process.kill()
    process.wait()
    time.sleep(0.5)  # longer than a shard takes: a living worker would finish another
    left = content(out)
    assert MANIFEST not in left
    assert len(list(out.glob("shard-*.array_record"))) < 4
    # The slow filter kept everything, and has no name.
    ingest(rows, out, replace(SMALL, resume=True))
    assert content(out) == content(tmp_path / "whole")


def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path: Path, rows: Path) -> None:
    ingest(rows, tmp_path / "whole", SMALL)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, hard))
    try:
        with pytest.raises(OSError, match=r"shard-00000-of-00004.array_record cannot be written"):
            ingest(rows, tmp_path / "out", SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert set(content(tmp_path / "out")) == {f"{PROGRESS}/plan.json", f"{PROGRESS}/lock"}
    with pytest.raises(FileNotFoundError, match="not finished"):
        open_image_text(tmp_path / "out")
    ingest(rows, tmp_path / "out", replace(SMALL, resume=True))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_folder_that_cannot_be_written_to_is_explained(tmp_path: Path, rows: Path) -> None:
    ingest(rows, tmp_path / "out", SMALL)
    with pytest.raises(ValueError, match=r"complete already \(8 records\)"):
        ingest(rows, tmp_path / "out", SMALL)
    resume = replace(SMALL, resume=True)
    assert ingest(rows, tmp_path / "out", resume).kept == 8
    with pytest.raises(ValueError, match=r"begun with verify True, this is False"):
        ingest(rows, tmp_path / "out", replace(resume, verify=False))
    with pytest.raises(ValueError, match="holds other files"):
        ingest(rows, rows.parent, SMALL)
    with pytest.raises(ValueError, match=r"rows.jsonl is a file"):
        ingest(rows, rows, SMALL)


def test_a_source_that_changed_is_not_resumed(tmp_path: Path, rows: Path) -> None:
    rows.write_bytes(rows.read_bytes() + b"\nnonsense")
    with pytest.raises(ValueError, match=r"1 of 9 entries cannot be used, more than max_bad_share"):
        ingest(rows, tmp_path / "out", replace(SMALL, max_bad_share=0.1))
    # Nobody needs to begin again to allow more.
    resume = replace(SMALL, resume=True)
    rows.write_bytes(rows.read_bytes() + b"!")
    with pytest.raises(ValueError, match="the source has changed since"):
        ingest(rows, tmp_path / "out", resume)
    rows.write_bytes(rows.read_bytes()[:-1])
    assert ingest(rows, tmp_path / "out", resume).dropped == {"row is not JSON": 1}


def test_sources_without_a_record_are_explained(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n\n")
    with pytest.raises(ValueError, match="there are no entries"):
        ingest(tmp_path / "t.jsonl", tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
    (tmp_path / "t.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match=r"found none: 0 of 1 kept; dropped 1 × row is not an obj"):
        ingest(tmp_path / "t.jsonl", tmp_path / "out", replace(SMALL, max_bad_share=1.0))
