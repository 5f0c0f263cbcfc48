"""The Beam pipeline; pip install '.[beam,test]', in an environment of its own, for this test."""

import argparse
import logging
from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.cli.data import filter_entities
from ovs_jax.data.ingest import IngestOptions, ingest
from tests.data.damage import damaged_folder, damaged_tars
from tests.data.ingest.test_formats import Naming

pytest.importorskip(
    "apache_beam",
    reason="Apache Beam is not installed: pip install 'ovs-jax[beam]'",
    exc_type=ImportError,
)
# Beam's own code warns of what Python will change.
pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = IngestOptions(records_per_shard=3, max_bad_share=0.8)


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("apache_beam").setLevel(logging.ERROR)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("make", [damaged_folder, damaged_tars])
@pytest.mark.parametrize("keep", [None, Naming("photo")])
def test_the_pipeline_gives_the_same_bytes_as_one_machine(
    make, keep: Naming | None, tmp_path: Path, photos: list[tuple[bytes, str]]
) -> None:
    from ovs_jax.data.ingest.beam import ingest_with_beam

    make(tmp_path / "in", photos)
    ingest(tmp_path / "in", tmp_path / "local", OPTIONS, keep=keep)
    runner = ["--runner=DirectRunner", "--direct_num_workers=1"]
    ingest_with_beam(tmp_path / "in", tmp_path / "beam", OPTIONS, keep=keep, pipeline=runner)
    found = content(tmp_path / "beam")
    assert found == content(tmp_path / "local")
    assert sum(name.endswith(".array_record") for name in found) > 2


def test_the_command_that_filters_gives_the_same_shards_with_and_without_beam(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    rows = ["a.png\ta dog", "b.png\tthe sea", "a.png\ta cat", "c.png\ttwo dogs, a man"]
    table = tmp_path / "photos.tsv"
    table.write_text("image\tcaption\n" + "\n".join(rows) + "\n")
    parser = argparse.ArgumentParser()
    filter_entities.add_arguments(parser)
    said = {}
    for out, more in (("local", []), ("beam", ["--beam=--runner=DirectRunner"])):
        words = [str(table), str(tmp_path / out), "--workers", "1", *more]
        assert filter_entities.run(parser.parse_args(words)) == 0
        said[out] = capsys.readouterr().out
    assert said["beam"] == said["local"]
    assert "4 captions, 3 kept (75.0%)" in said["beam"]
    assert content(tmp_path / "beam") == content(tmp_path / "local")
