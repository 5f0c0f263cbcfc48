"""The measurements of the data path, small enough to say only that they measure."""

import json
from pathlib import Path

import bench_data
import pytest
from benchmark.captions import made_captions
from benchmark.photos import describe_photos, drawn_photos

from ovs_jax.data.images import decode_image


def test_made_captions_come_in_the_number_asked_for_and_the_same_every_time() -> None:
    blocks = list(made_captions(20_050))
    assert [len(block) for block in blocks] == [20_000, 50]
    assert next(made_captions(100)) == next(made_captions(100))
    assert len(set(blocks[0])) > 19_000


def test_drawn_photos_have_the_size_asked_for() -> None:
    photos = drawn_photos(2, width=64, height=48)
    assert decode_image(photos[0], name="photo").shape == (48, 64, 3)
    assert describe_photos(photos).startswith("2 photos, 64 x 48 pixels")


def test_rates_and_memory_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.json"
    words = ["--cases", "decode", "ingest", "filter", "index", "--count", "2", "--size", "300x250"]
    assert bench_data.main([*words, "--captions", "500", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert rows["decode"]["decoding"]["share_of_decoding_speed"] == 1
    assert rows["filter"]["original"]["read"] == 500
    assert rows["index"]["peak_memory_bytes"] > 1e7
    assert rows["ingest"]["megabytes_per_second"] > 0
    assert "images/s and core" in capsys.readouterr().out


def test_wrong_photos_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_data.main(["--photos", str(tmp_path)]) == 1
    assert "expected at least one of" in capsys.readouterr().err
