import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data import shards
from ovs_jax.data.manifest import (
    MANIFEST,
    PROGRESS,
    VERSION,
    Manifest,
    read_manifest,
    write_manifest,
)
from ovs_jax.data.records import BadRecordError, CaptionSource
from ovs_jax.data.shards import ShardedCaptions, ShardWriter, decode_record, encode_record
from ovs_jax.data.sources import open_image_text

SIZES = (3, 0, 2, 4)


def record(number: int) -> dict[str, Any]:
    return {"image": bytes([number]) * 50, "caption": f"caption {number} é", "key": f"k{number}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine records in four shards, one of them empty."""
    parts, number = [], 0
    for index, size in enumerate(SIZES):
        writer = ShardWriter(tmp_path, shards.shard_name(index, len(SIZES)))
        for _ in range(size):
            writer.write(record(number))
            number += 1
        parts.append(writer.close())
        writer.discard()
    total = sum(part.bytes for part in parts)
    manifest = Manifest(VERSION, "here", {"verify": True}, 10, 9, {"bad": 1}, total, tuple(parts))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    return tmp_path


@given(st.binary(), st.text(), st.text())
def test_a_record_comes_back_as_it_was(image: bytes, caption: str, key: str) -> None:
    given_record = {"caption": caption, "image": image, "key": key}
    assert decode_record(encode_record(given_record), name="x") == given_record


@given(st.binary(max_size=60))
def test_other_bytes_are_no_record(data: bytes) -> None:
    with pytest.raises(BadRecordError, match="x: not a record"):
        decode_record(data, name="x")


@pytest.mark.parametrize(
    "content",
    [5, [], {}, {"image": b"", "caption": b"", "key": ""}, {"x": 2}, record(0) | {"x": 1}],
)
def test_other_content_is_no_record(content: Any) -> None:
    with pytest.raises(BadRecordError, match="x: not a record"):
        decode_record(msgpack.packb(content) or b"", name="x")
    if isinstance(content, dict):
        with pytest.raises(TypeError, match="record: expected the fields"):
            encode_record(content)


def test_records_run_on_from_shard_to_shard(folder: Path) -> None:
    source = open_image_text(folder)
    assert isinstance(source, ShardedCaptions)
    assert isinstance(source, CaptionSource)
    assert len(source) == 9
    order = [8, 0, 3, 2, 4, 5, 1, 7, 6]
    assert [source[i] for i in order] == [record(i) for i in order]
    for outside in (-1, 9):
        with pytest.raises(IndexError, match=f"record {outside} of 9"):
            source[outside]


def test_captions_are_read_without_images_and_sliced(folder: Path) -> None:
    source = ShardedCaptions(folder)
    for file in folder.glob("*.array_record"):
        file.unlink()  # they are not needed
    captions = source.captions()
    wanted = [f"caption {i} é" for i in range(9)]
    assert list(captions) == wanted
    assert (len(captions), captions[-1]) == (9, wanted[-1])
    for part in (slice(2, 7), slice(None, None, -2), slice(5, 2)):
        assert list(captions[part]) == wanted[part]
    assert list(source.keys()) == [f"k{i}" for i in range(9)]


def test_a_copy_for_a_worker_opens_files_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ShardedCaptions(folder)
    source[0]
    copy = pickle.loads(pickle.dumps(source))
    assert not copy._readers
    monkeypatch.setattr(shards, "_OPEN_SHARDS", 1)
    assert [copy[i] for i in range(9)] == [record(i) for i in range(9)]
    assert len(copy._readers) == 1


def test_a_damaged_record_is_named_and_the_others_are_read(folder: Path) -> None:
    path = folder / "shard-00003-of-00004.array_record"
    data = bytearray(path.read_bytes())
    data[data.index(record(7)["image"]) + 3] ^= 1
    path.write_bytes(data)
    source = ShardedCaptions(folder)
    with pytest.raises(BadRecordError, match=r"shard-00003.*\[2\]: unreadable record .*hash"):
        source[7]
    assert [source[i]["key"] for i in (5, 6, 8)] == ["k5", "k6", "k8"]


def test_a_shard_that_is_missing_or_short_is_found_at_once(folder: Path) -> None:
    path = folder / "shard-00000-of-00004.array_record"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"shard-00000.*expected \d+ bytes, got \d+"):
        ShardedCaptions(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard shard-00000-of-00004.array_record is miss"):
        ShardedCaptions(folder)


def change(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.update(fields)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change(version=2), "expected version 1, got 2"),
        (change(kept="9"), "manifest.kept: expected int, got '9'"),
        (change(kept=8), "kept is 8, but its shards have 9 records"),
        (change(shards=[5]), r"shards\[0\]: expected an object, got int"),
        (lambda content: content.pop("dropped"), "expected the field dropped"),
        (lambda content: content["shards"][1].update(file="../x"), "plain file names, got '../x'"),
        (
            lambda content: content["shards"][1].pop("sha256"),
            r"shards\[1\]: expected the field sha",
        ),
    ],
)
def test_a_wrong_manifest_is_explained(folder: Path, damage: Any, message: str) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    damage(content)
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        open_image_text(folder)


def test_a_folder_without_a_manifest_is_no_data(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json: not JSON"):
        read_manifest(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest.json is missing"):
        read_manifest(folder)
    (folder / PROGRESS).mkdir()
    with pytest.raises(FileNotFoundError, match="again with --resume"):
        open_image_text(folder)


def test_a_discarded_shard_leaves_nothing(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "x")
    writer.write(record(1))
    writer.discard()
    assert not list(tmp_path.iterdir())
