"""The Beam pipeline; pip install '.[beam,test]', in an environment of its own, for this test."""

import logging
from pathlib import Path

import pytest

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
