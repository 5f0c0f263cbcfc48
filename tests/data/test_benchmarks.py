from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.benchmarks import open_labelled_folders, open_voc, read_label
from ovs_jax.data.images import decode_image
from ovs_jax.data.records import BadRecordError, Source
from ovs_jax.text.class_sets import class_set
from ovs_jax.typing import ClassSet

CLASSES = ClassSet("three", ("background", "cat", "dog"), has_background=True)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate(("x", "y")):
        Image.new("RGB", (5, 3)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        labels = Image.fromarray(np.full((3, 5), number, np.uint8), "P")
        labels.putpalette([9, 9, 9, 7, 7, 7])
        labels.save(tmp_path / "SegmentationClass" / f"{name}.png")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("y\nx\n")
    return tmp_path


def test_the_voc_layout_is_read_in_the_order_of_the_split(voc: Path) -> None:
    source = open_voc(voc)
    assert isinstance(source, Source)
    assert len(source) == 2
    record = source[0]
    assert record["key"].endswith("JPEGImages/y.jpg")
    assert decode_image(record["image"], name=record["key"]).shape == (3, 5, 3)
    np.testing.assert_array_equal(read_label(record, classes=CLASSES), np.ones((3, 5)))


def test_missing_parts_of_the_layout_are_named(voc: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"split 'train' is not there; found \['val'\]"):
        open_voc(voc, split="train")
    with pytest.raises(
        FileNotFoundError, match=r"folder .*SegmentationClassContext does not exist"
    ):
        open_voc(voc, labels="SegmentationClassContext")
    (voc / "SegmentationClass" / "x.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 files are missing, first .*x.png"):
        open_voc(voc)
    (voc / "ImageSets/Segmentation/val.txt").write_text("")
    with pytest.raises(ValueError, match="expected at least one image, found none"):
        open_voc(voc)
    with pytest.raises(FileNotFoundError, match=r"folder .*/none does not exist"):
        open_voc(voc / "none")


def test_labels_outside_the_class_list_are_named_with_their_file() -> None:
    label = np.array([[0, 2, 255], [3, 7, 3]])
    record = {"label": label, "key": "x.jpg", "label_key": "x.png"}
    with pytest.raises(
        BadRecordError,
        match=r"x.png: labels outside the class list .*0 to 2 of 'three' or 255, got \[3, 7\]",
    ):
        read_label(record, classes=CLASSES)
    fine = read_label({"label": label[:1], "key": "x"}, classes=CLASSES)
    assert fine.tolist() == [[0, 2, 255]]
    with pytest.raises(BadRecordError, match=r"got \[255\]"):
        read_label({"label": label[:1], "key": "x"}, classes=CLASSES, ignore=-1)
    with pytest.raises(BadRecordError, match=r"x: label map of wrong kind .* float64 \(1, 3\)"):
        read_label({"label": label[:1] * 1.0, "key": "x"}, classes=CLASSES)


def test_two_folders_are_paired_by_name(voc: Path) -> None:
    (voc / "SegmentationClass" / "readme.md").write_text("not a map")
    source = open_labelled_folders(voc / "JPEGImages", voc / "SegmentationClass")
    assert [Path(source[i]["key"]).name for i in range(2)] == ["x.jpg", "y.jpg"]
    (voc / "JPEGImages" / "x.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 files are missing, first .*x.jpg"):
        open_labelled_folders(voc / "JPEGImages", voc / "SegmentationClass")


def test_real_layouts_fit_their_class_lists(shared_data: Path) -> None:
    voc = open_voc(shared_data / "voc_layout")
    assert len(voc) == 60
    seen = set()
    for index in range(len(voc)):
        label = read_label(voc[index], classes=class_set("voc21"))
        seen |= set(np.unique(label).tolist())
    assert seen == {*range(21), 255} - {10}  # no cow among them
    photos = shared_data / "photos_captions"
    objects = open_labelled_folders(photos / "images", photos / "labels_coco_object")
    assert len(objects) == 109
    for index in range(0, 109, 10):
        record = objects[index]
        label = read_label(record, classes=class_set("coco_object81"))
        assert label.shape == decode_image(record["image"], name=record["key"]).shape[:2]
