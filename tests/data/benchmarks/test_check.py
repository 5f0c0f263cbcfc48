from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.data.benchmarks import BENCHMARKS
from ovs_jax.data.benchmarks.builder import prepare_benchmark
from ovs_jax.data.benchmarks.check import check_benchmark, detect

Draw = Callable[[str], Path]


def test_a_sound_benchmark_is_counted_by_class(draw: Draw, tmp_path: Path) -> None:
    root = draw("pascal_voc")
    report = check_benchmark("pascal_voc", root, progress=False)
    assert report.sound
    assert (report.benchmark, report.view, report.split) == ("pascal_voc", "voc21", "val")
    assert report.records == 2
    # The drawn map [[0, 1, 20], [255, 15, 0]], twice.
    assert {i: int(n) for i, n in enumerate(report.pixels) if n} == {0: 4, 1: 2, 15: 2, 20: 2}
    assert {i: int(n) for i, n in enumerate(report.images) if n} == {0: 2, 1: 2, 15: 2, 20: 2}
    assert report.unjudged == 2
    text = report.to_markdown()
    assert "2 records, 0 faulty" in text
    assert "4 of 21 classes are present; 16.67% of the pixels are not judged" in text
    assert "| background | 2 | 33.333% |" in text
    prepare_benchmark("pascal_voc", root, tmp_path / "out")
    prepared = check_benchmark("pascal_voc", tmp_path / "out", progress=False)
    assert prepared.to_markdown() == text


def test_every_kind_of_fault_is_counted_and_named(draw: Draw) -> None:
    root = draw("ade20k")
    photos, maps = root / "images/validation", root / "annotations/validation"
    for number in range(3, 8):
        for folder, ending in ((photos, "jpg"), (maps, "png")):
            first = next(folder.glob(f"*1.{ending}"))
            first.with_stem(f"ADE_val_0000000{number}").with_suffix(f".{ending}").write_bytes(
                first.read_bytes()
            )
    Image.new("L", (9, 9), 1).save(maps / "ADE_val_00000003.png")
    Image.new("L", (3, 2), 151).save(maps / "ADE_val_00000004.png")
    Image.new("RGB", (3, 2)).save(maps / "ADE_val_00000005.png")
    (photos / "ADE_val_00000006.jpg").write_bytes(b"")
    data = (maps / "ADE_val_00000007.png").read_bytes()
    (maps / "ADE_val_00000007.png").write_bytes(data[:-30])
    report = check_benchmark("ade20k", root, progress=False)
    assert not report.sound
    assert report.faults == {
        "label map of another size": 1,
        "unknown label ids": 1,
        "label map with colours": 1,
        "empty file": 1,
        "truncated image": 1,
    }
    assert "ADE_val_00000004.png" in report.examples["unknown label ids"][0]
    assert "got [151] in 6 pixels, expected 0 to 150" in report.to_markdown()
    assert int(report.images[0]) == 2  # the two sound ones have a wall


def test_labels_beyond_the_list_of_the_published_conversion_are_no_fault(draw: Draw) -> None:
    report = check_benchmark("coco_object81_ovsegmentor", draw("coco_object"), progress=False)
    assert report.sound
    assert report.unjudged == 2 * 2  # two pixels of stuff in each


def test_classification_is_counted_by_images(draw: Draw) -> None:
    report = check_benchmark("imagenet", draw("imagenet"), progress=False)
    assert report.sound
    assert report.images.sum() == report.pixels.sum() == 3
    assert "3 of 1000 classes are present" in report.to_markdown()


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_the_layout_tells_the_benchmark(draw: Draw, name: str) -> None:
    expected = ("coco_object", "coco_stuff") if name.startswith("coco") else (name,)
    assert detect(draw(name)) == expected


def test_a_folder_of_no_benchmark_is_told_what_each_lacks(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        detect(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}: expected the layout of a benchmark; pascal_voc data: ")
    assert "cityscapes data: folder leftImg8bit/val does not exist" in message
    assert message.endswith("; found holiday/")
