import sys
from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.cli.main import main
from ovs_jax.data.sources import open_image_text

REFUSED = [
    (["nowhere"], "source nowhere: there is no such file or folder"),
    (["t.xlsx"], "source t.xlsx: expected a folder or one of ('.csv'"),
    (["."], "found ['deep', 't.csv', 't.json', 't.xlsx']"),
    (["t.csv", "--images", "gone"], "images: folder gone does not exist"),
    (["t.csv", "--max-bad-share", "2"], "max_bad_share: expected 0 to 1, got 2.0"),
    (["t.csv", "--max-pixels", "900000000"], "max_pixels: expected at most"),
    (["t.csv", "--workers", "-1"], "workers: expected at least 0, got -1"),
    (["t.csv", "--caption-column", "text"], "expected the columns ['image' or 'url', 'text']"),
    (["t.json"], "table t.json: not JSON"),
    (["deep/t.parquet"], "table deep/t.parquet: not a Parquet file"),
    (["tfds:nothing", "--data-dir", "."], "tfds:nothing: no data set 'nothing' in ."),
]


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("image,caption\nin/a.png,a dog\nin/a.png,\n")
    Path("deep").mkdir()
    for name in ("t.xlsx", "t.json", "deep/t.parquet"):
        Path(name).write_bytes(b"")
    return tmp_path


def test_the_command_ingests_and_says_what_came_of_it(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo / "in").mkdir()
    Image.new("RGB", (4, 4)).save(photo / "in" / "a.png")
    words = ["data", "ingest", "t.csv", "out", "--max-bad-share", "0.5", "--workers", "1"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 1 of 2 records, 1 shards, 0.1 MB\n")
    assert "dropped 1 × empty caption" in printed.out
    assert "images/s" in printed.err
    assert "first 'in/a.png'" in printed.err
    assert list(open_image_text("out").captions()) == ["a dog"]
    assert main(words) == 2
    assert "out is complete already (1 records)" in capsys.readouterr().err


def test_beam_is_an_extra(
    photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "ovs_jax.data.ingest.beam", raising=False)
    assert main(["data", "ingest", "t.csv", "out", "--beam=--runner=DirectRunner"]) == 2
    assert "Apache Beam is not installed: pip install 'ovs-jax[beam]'" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_ingested_is_explained_and_nothing_left(
    photo: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(photo.iterdir())
    assert main(["data", "ingest", words[0], "out", *words[1:]]) == 2
    assert message in capsys.readouterr().err
    assert sorted(photo.iterdir()) == before
