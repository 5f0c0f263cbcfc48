import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.images import decode_image
from ovs_jax.data.records import BadRecordError, CaptionSource, Source
from ovs_jax.data.sources import PhotoCaptions, open_image_text


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("a.jpg", "b.png", "in/c.JPEG")):
        Image.new("RGB", (6, 4), (number * 50, 0, 0)).save(tmp_path / name)
    return tmp_path


def _pairs(path: Path, **columns: str) -> list[tuple[str, str]]:
    source = open_image_text(path, **columns)
    assert isinstance(source, PhotoCaptions)
    return list(zip(source.files, source.texts, strict=True))


def test_a_folder_pairs_images_with_the_text_files_beside_them(photos: Path) -> None:
    (photos / "a.txt").write_text(" a dog \n\nanother dog\n")
    (photos / "in" / "c.txt").write_text("a café", encoding="utf-8-sig")
    source = open_image_text(photos)
    assert source.files == ("a.jpg", "a.jpg", "in/c.JPEG")
    assert list(source.captions()) == ["a dog", "another dog", "a café"]
    assert source.dropped == {"no caption file": 1}
    record = source[2]
    assert record["caption"] == "a café"
    assert record["key"] == str(photos / "in" / "c.JPEG")
    assert decode_image(record["image"], name=record["key"]).shape == (4, 6, 3)
    assert isinstance(source, CaptionSource)
    assert isinstance(source, Source)
    with pytest.raises(IndexError):
        source[3]


def test_a_folder_with_captions_json_finds_photos_by_name(photos: Path) -> None:
    (photos / "captions.json").write_text(json.dumps({"a": ["one", "two"], "b.png": "three"}))
    assert _pairs(photos) == [("a.jpg", "one"), ("a.jpg", "two"), ("b.png", "three")]
    (photos / "images").mkdir()
    (photos / "a.jpg").rename(photos / "images" / "a.jpg")
    assert _pairs(photos) == [("a.jpg", "one"), ("a.jpg", "two")]
    assert len(open_image_text(photos / "captions.json")) == 2


def test_names_without_a_suffix_are_completed_only_if_that_is_clear(photos: Path) -> None:
    for name in ("a.png", "b.png.jpg"):
        (photos / name).write_bytes((photos / "a.jpg").read_bytes())
    captions = {"a": "which?", "a.png": "one", "b": "two", "b.png": "three", "b.png.jpg": "four"}
    (photos / "captions.json").write_text(json.dumps(captions))
    source = open_image_text(photos)
    assert isinstance(source, PhotoCaptions)
    assert dict(zip(source.texts, source.files, strict=True)) == {
        "one": "a.png",
        "two": "b.png",
        "three": "b.png",
        "four": "b.png.jpg",
    }
    assert source.dropped == {"several images of that name": 1}


def test_a_folder_of_tars_is_told_to_be_ingested(photos: Path) -> None:
    (photos / "00000.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="tar and Parquet files need 'ovs-jax data ingest' first"):
        open_image_text(photos)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'id,image,caption\n1,a.jpg,"a dog, and\nmore"\n2,in/c.JPEG,x\u2028y\n'),
        ("t.tsv", 'image\tcaption\na.jpg\ta dog, and\n\nin/c.JPEG\tx\u2028"y\n'),
        ("t.json", json.dumps([{"image": "a.jpg", "caption": "a dog, and"}] * 2)),
        ("t.jsonl", '{"image": "a.jpg", "caption": ["a dog, and", "x\u2028y"]}\n\n'),
    ],
)
def test_tables_give_images_relative_to_themselves(photos: Path, name: str, text: str) -> None:
    (photos / name).write_text(text)
    pairs = _pairs(photos / name)
    assert len(pairs) == 2
    assert pairs[0][0] == "a.jpg"
    assert pairs[0][1].startswith("a dog, and")
    if name != "t.json":
        assert pairs[1][1] in ("x\u2028y", 'x\u2028"y')


def test_columns_can_be_named(photos: Path) -> None:
    (photos / "t.csv").write_text("\ufefffile, text\na.jpg,a dog\n")
    assert _pairs(photos / "t.csv", image_column="file", caption_column="text") == [
        ("a.jpg", "a dog")
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "t.csv",
            "file,text\na.jpg,x\n",
            r"t.csv, line 1: expected the columns \['image', 'caption'\], found \['file', 'text'\]",
        ),
        ("t.csv", "file,text\n", r"found \['file', 'text'\]"),
        ("t.csv", "", r"found \[\]"),
        ("t.tsv", "image,caption\n", r"found \['image,caption'\]"),
        ("t.csv", "image,caption\na.jpg,a,b\n", r"line 2: expected 2 values .* got 3"),
        (
            "t.jsonl",
            '{"image": "a.jpg", "caption": "x"}\n{"image": "a.jpg"}',
            r"t.jsonl, line 2: expected the columns .* found \['image'\]",
        ),
        ("t.jsonl", '{"image"', r"t.jsonl, line 1: not JSON"),
        ("t.json", "[3]", r"t.json, entry 0: expected an object, got int"),
        ("t.json", "3", r"expected a list of objects, .* got int"),
        ("t.json", "[", r"t.json: not JSON"),
    ],
)
def test_wrong_tables_are_explained(photos: Path, name: str, text: str, message: str) -> None:
    (photos / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        open_image_text(photos / name)


def test_faulty_entries_are_dropped_counted_and_reported(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"image": "a.jpg", "caption": "fine"},
        {"image": "a.jpg", "caption": "  "},
        {"image": "a.jpg", "caption": 7},
        {"image": "a.jpg", "caption": None},
        {"image": "gone.jpg", "caption": "x"},
        {"image": "", "caption": "x"},
        {"image": None, "caption": "x"},
        {"image": "a.jpg", "caption": []},
    ]
    (photos / "t.json").write_text(json.dumps(rows))
    with caplog.at_level(logging.WARNING):
        source = open_image_text(photos / "t.json")
    assert source.texts == ("fine",)
    assert source.dropped == {
        "empty caption": 2,
        "caption is not text": 2,
        "missing image": 1,
        "no image name": 2,
    }
    assert "1 pairs, dropped 2 × empty caption (first: 'a.jpg')" in caplog.text


def test_no_usable_pair_is_an_error_with_the_reasons(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"found none; dropped 3 × no caption file \(first: 'a.jpg'"
    ):
        open_image_text(photos)
    (photos / "t.csv").write_text("image,caption\n")
    with pytest.raises(ValueError, match="found none; there are no entries"):
        open_image_text(photos / "t.csv")


def test_wrong_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"image-text data .*nowhere does not exist"):
        open_image_text(tmp_path / "nowhere")
    (tmp_path / "t.xlsx").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"t.xlsx: expected a folder or one of \('.csv'"):
        open_image_text(tmp_path / "t.xlsx")
    (tmp_path / "t.parquet").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"t.parquet: not a Parquet file"):
        open_image_text(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_bytes(b"image,caption\n\xff\xfe")
    with pytest.raises(ValueError, match=r"t.csv: expected UTF-8 text"):
        open_image_text(tmp_path / "t.csv")


def test_an_image_that_vanishes_later_is_a_bad_record(photos: Path) -> None:
    (photos / "a.txt").write_text("a dog")
    source = open_image_text(photos)
    (photos / "a.jpg").unlink()
    with pytest.raises(BadRecordError, match=r"a.jpg: missing image"):
        source[0]
    (photos / "a.jpg").mkdir()
    with pytest.raises(BadRecordError, match=r"a.jpg: unreadable file"):
        source[0]


def test_real_photographs_and_captions_are_all_usable(shared_data: Path) -> None:
    source = open_image_text(shared_data / "photos_captions")
    assert len(source) == 545
    assert len(set(source.files)) == 109
    assert source.dropped == {}
    for index in (0, 300, 544):
        record = source[index]
        image = decode_image(record["image"], name=record["key"])
        assert min(image.shape[:2]) == 256
        assert image.dtype == np.uint8
