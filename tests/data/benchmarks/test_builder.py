"""Prepared data: the same records out as the official download has, or nothing at all."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.benchmarks import BENCHMARKS, builder, open_benchmark
from ovs_jax.data.benchmarks.builder import encode_label, prepare_benchmark
from ovs_jax.data.images import decode_label
from ovs_jax.data.records import BadRecordError

Draw = Callable[[str], Path]
VIEWS = [(name, view.name) for name, item in BENCHMARKS.items() for view in item.views]
ROOT = Path(__file__).resolve().parents[3]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*")) if folder.exists() else []


@pytest.mark.parametrize(("benchmark", "view"), VIEWS)
def test_prepared_data_gives_the_same_records(
    draw: Draw, tmp_path: Path, benchmark: str, view: str
) -> None:
    root = draw(benchmark)
    folder = prepare_benchmark(view, root, tmp_path / "out")
    assert folder == tmp_path / "out" / view / "1.0.0"
    official = open_benchmark(view, root)
    for place in (tmp_path / "out", folder.parent, folder):
        prepared = pickle.loads(pickle.dumps(open_benchmark(view, place)))
        assert len(prepared) == len(official)
        for index in range(len(official)):
            was, now = official[index], prepared[index]
            assert now.keys() == was.keys()
            assert now["image"] == was["image"]
            assert str(root / now["key"]) == was["key"]
            if "label" in was:
                np.testing.assert_array_equal(now["label"], was["label"])
                assert now["label"].dtype == np.int32
            else:
                assert now["label_index"] == was["label_index"]


def test_prepared_data_is_read_by_threads_and_keeps_its_order(shared_data: Path, tmp_path: Path):
    official = open_benchmark("pascal_voc", shared_data / "voc_layout")
    prepare_benchmark("pascal_voc", shared_data / "voc_layout", tmp_path)
    prepared = open_benchmark("pascal_voc", tmp_path)
    with ThreadPoolExecutor(4) as pool:
        records = list(pool.map(prepared.__getitem__, range(60)))
    for index in range(0, 60, 3):
        was = official[index]
        assert records[index]["image"] == was["image"]
        np.testing.assert_array_equal(records[index]["label"], was["label"])


def test_stored_maps_are_single_channel_indices_for_any_program(draw: Draw, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    folder = prepare_benchmark("pascal_voc", draw("pascal_voc"), tmp_path / "out")
    made = tfds.builder_from_directory(str(folder))
    record = made.as_data_source("val")[0]  # decoded by tensorflow-datasets itself
    assert record["label"].tolist() == [[[0], [1], [20]], [[255], [15], [0]]]
    assert record["image"].shape == (2, 3, 3)
    assert record["key"] == b"JPEGImages/b.jpg"
    assert made.info.metadata["ignore_label"] == 255
    assert made.info.metadata["classes"][20] == "monitor"


def test_other_class_lists_are_derived_from_prepared_data_where_they_can_be(
    draw: Draw, tmp_path: Path
) -> None:
    root, out = draw("pascal_voc"), tmp_path / "out"
    prepare_benchmark("voc21", root, out)
    twenty = open_benchmark("voc20", out)
    assert twenty[0]["label"].tolist() == [[255, 0, 19], [255, 14, 255]]
    assert twenty.class_set.name == "voc20"
    # Prepared again from prepared data, it is what the download gives.
    prepare_benchmark("voc20", out, tmp_path / "second")
    again = open_benchmark("voc20", tmp_path / "second")
    assert again[0]["label"].tolist() == twenty[0]["label"].tolist()
    assert again[0]["key"] == "JPEGImages/b.jpg"
    with pytest.raises(
        ValueError, match=r"prepared as 'voc20', which does not tell apart what 'voc21' does"
    ):
        open_benchmark("voc21", tmp_path / "second")


def test_what_is_not_in_prepared_data_is_said(draw: Draw, tmp_path: Path) -> None:
    folder = prepare_benchmark("ade20k", draw("ade20k"), tmp_path / "out")
    with pytest.raises(ValueError, match=r"split 'train' is not there; found \['val'\]"):
        open_benchmark("ade20k", tmp_path / "out", split="train")
    with pytest.raises(ValueError, match=r"expected cityscapes19, got ade150"):
        open_benchmark("cityscapes", folder)
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit/val does not exist; found ade150/"):
        open_benchmark("cityscapes", tmp_path / "out")
    with pytest.raises(IndexError, match="expected 0 to 1, got 2"):
        open_benchmark("ade20k", folder)[2]
    with pytest.raises(FileExistsError, match=r"ade150/1.0.0 exists; remove it first"):
        prepare_benchmark("ade20k", tmp_path / "download", tmp_path / "out")
    (folder / "dataset_info.json").write_text('{"name": "ade150"')
    with pytest.raises(ValueError, match=r"dataset_info.json: expected a description"):
        open_benchmark("ade20k", folder)


def test_a_faulty_file_stops_the_preparation_and_leaves_nothing(draw: Draw, tmp_path: Path) -> None:
    root, out = draw("ade20k"), tmp_path / "out"
    Image.new("L", (5, 4), 1).save(root / "annotations/validation/ADE_val_00000002.png")
    with pytest.raises(BadRecordError, match=r"2.png: label map of another size .*the 2 x 3 of"):
        prepare_benchmark("ade20k", root, out)
    photo = root / "images/validation/ADE_val_00000001.jpg"
    photo.write_bytes(photo.read_bytes()[:200])
    with pytest.raises(BadRecordError, match=r"ADE_val_00000001.jpg"):
        prepare_benchmark("ade20k", root, out)
    assert everything(out) == []


def test_a_full_disk_leaves_nothing(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(label: np.ndarray) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(builder, "encode_label", full)
    with pytest.raises(OSError, match="No space left"):
        prepare_benchmark("ade20k", draw("ade20k"), tmp_path / "out")
    assert everything(tmp_path / "out") == []


def test_a_killed_preparation_is_never_taken_as_whole_and_can_be_repeated(
    draw: Draw, tmp_path: Path
) -> None:
    root, out = draw("ade20k"), tmp_path / "out"
    whole = prepare_benchmark("ade20k", root, tmp_path / "other")
    script = f"""
import os, signal
from ovs_jax.data.benchmarks import builder
encode, count = builder.encode_label, 0
def dying(label):
    global count
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(label)
builder.encode_label = dying
builder.prepare_benchmark("ade20k", {str(root)!r}, {str(out)!r})
"""
    died = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    (left,) = out.iterdir()  # it had begun to write
    assert left.name.startswith("incomplete.ade150.")
    with pytest.raises(FileNotFoundError, match=r"images/validation does not exist"):
        open_benchmark("ade20k", out)
    half = next(left.rglob("incomplete.*"))
    shutil.copy(whole / "dataset_info.json", half)  # as if it had died an instant later
    for place in (out, left, left / "ade150"):
        with pytest.raises(FileNotFoundError, match=r"images/validation does not exist"):
            open_benchmark("ade20k", place)
    with pytest.raises(ValueError, match="its preparation was not finished"):
        open_benchmark("ade20k", half)
    prepare_benchmark("ade20k", root, out)
    assert len(open_benchmark("ade20k", out)) == 2
    assert [path.relative_to(out).as_posix() for path in out.glob("*/*")] == ["ade150/1.0.0"]
    assert not left.exists()


def test_label_maps_are_stored_with_eight_or_sixteen_bits() -> None:
    for dtype, values in ((np.uint8, [[0, 255]]), (np.uint16, [[0, 846], [256, 65535]])):
        data = encode_label(np.array(values, dtype))
        assert decode_label(data, name="x").tolist() == values
