import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ovs_jax.cli.main import main
from ovs_jax.data.check import check_shards
from ovs_jax.data.durable import sha256
from ovs_jax.data.ingest import IngestOptions, ingest
from ovs_jax.data.manifest import MANIFEST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images in two shards; the last is damaged, which nobody looked for."""
    (tmp_path / "in").mkdir()
    for number in range(10):
        buffer = io.BytesIO()
        Image.linear_gradient("L").save(buffer, "PNG")
        data = buffer.getvalue()
        name = tmp_path / "in" / f"{number}.png"
        name.write_bytes(data if number < 9 else data[: len(data) // 2])
        name.with_suffix(".txt").write_text(f"gradient {number}")
    ingest(tmp_path / "in", tmp_path / "out", IngestOptions(records_per_shard=5, verify=False))
    return tmp_path / "out"


def test_a_sample_or_all_images_are_decoded(folder: Path) -> None:
    report = check_shards(folder, sample=2)
    assert (report.records, report.shards, report.images, report.faults) == (10, 2, 2, ())
    report = check_shards(folder, sample=None)
    assert report.images == 9
    (fault,) = report.faults
    assert fault.startswith("record 9: 9.png: truncated image")


def test_what_is_not_as_the_manifest_says_is_told(folder: Path) -> None:
    shard = folder / "shard-00000-of-00002.array_record"
    data = bytearray(shard.read_bytes())
    data[40000] ^= 1
    shard.write_bytes(data)
    (folder / "shard-00001-of-00002.captions.parquet").unlink()
    assert check_shards(folder).faults == (
        "shard-00000-of-00002.array_record: its SHA-256 is not that of the manifest",
        "shard-00001-of-00002.captions.parquet: missing",
    )


def test_captions_beside_another_shard_are_found(folder: Path) -> None:
    path = folder / "shard-00000-of-00002.captions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take([1, 0, 2, 3, 4]), path)
    content = json.loads((folder / MANIFEST).read_text())
    content["shards"][0]["captions_sha256"] = sha256(path)
    (folder / MANIFEST).write_text(json.dumps(content))
    faults = check_shards(folder, sample=None).faults
    assert faults[:2] == (
        "record 0: 0.png: another caption in Parquet",
        "record 1: 1.png: another caption in Parquet",
    )


def test_the_command_tells_and_its_status_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(folder), "--all"]) == 1
    assert "10 records in 2 shards, 9 images decoded: 1 faults" in capsys.readouterr().out
    assert main(["data", "check", str(folder.parent)]) == 2
