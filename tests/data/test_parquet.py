import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ovs_jax.data import parquet
from ovs_jax.data.records import BadRecordError, CaptionSource
from ovs_jax.data.sources import PhotoCaptions, open_image_text


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_table_with_images_is_a_source(tmp_path: Path) -> None:
    rows = [
        {"jpg": b"one", "caption": " a dog ", "status": "success"},
        {"jpg": None, "caption": "gone", "status": "failed_to_download"},
        {"jpg": b"two", "caption": "", "status": "success"},
        {"jpg": b"three", "caption": None, "status": "success"},
        {"jpg": None, "caption": "a cat", "status": "success"},
    ]
    source = open_image_text(write(tmp_path / "t.parquet", rows))
    assert isinstance(source, CaptionSource)
    assert isinstance(source, parquet.ParquetCaptions)
    assert list(source.captions()) == ["a dog", "a cat"]
    assert source.dropped == {"not downloaded": 1, "empty caption": 1, "caption is not text": 1}
    source = pickle.loads(pickle.dumps(source))
    assert source[0] == {
        "image": b"one",
        "caption": "a dog",
        "key": f"{tmp_path / 't.parquet'}:0",
    }
    with pytest.raises(BadRecordError, match=r"t.parquet:4: missing image"):
        source[1]


def test_several_captions_of_one_row_are_several_records(tmp_path: Path) -> None:
    row = {"image": {"bytes": b"one", "path": None}, "caption": ["a", "b"]}
    source = open_image_text(write(tmp_path / "t.parquet", [row]))
    assert [source[i]["caption"] for i in range(2)] == ["a", "b"]
    assert source[1]["image"] == b"one"


def test_a_table_of_files_is_read_as_other_tables_are(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    rows = [{"file": "a.jpg", "text": ["x", "y"]}, {"file": "gone.jpg", "text": ["z"]}]
    path = write(tmp_path / "t.parquet", rows)
    source = open_image_text(path, image_column="file", caption_column="text")
    assert isinstance(source, PhotoCaptions)
    assert source.texts == ("x", "y")
    assert source.dropped == {"missing image": 1}


def test_tables_that_cannot_be_used_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t.parquet", [{"image": b"x", "caption": ""}])
    with pytest.raises(ValueError, match=r"found none; dropped \{'empty caption': 1\}"):
        open_image_text(path)
    with pytest.raises(ValueError, match=r"expected the columns \['image', 'text'\], found"):
        open_image_text(path, caption_column="text")
    monkeypatch.setattr(parquet, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match=r"too many for random access.*run 'ovs-jax data ingest'"):
        open_image_text(path)
