"""Finding files in folders, and what is said where they are not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ovs_jax.data.benchmarks import open_benchmark, open_labelled_folders, open_voc
from ovs_jax.data.images import decode_label
from ovs_jax.data.records import BadRecordError, Source

Draw = Callable[[str], Path]


def test_the_voc_layout_is_read_in_the_order_of_the_split(draw: Draw) -> None:
    root = draw("pascal_voc")
    source = open_voc(root)
    assert isinstance(source, Source)
    assert [source[i]["key"] for i in range(2)] == [f"{root}/JPEGImages/{n}.jpg" for n in "ba"]
    label = decode_label(source[0]["label"], name="x")
    assert label.tolist() == [[0, 1, 20], [255, 15, 0]]


@pytest.mark.parametrize("top", ["VOC2012", "VOCdevkit/VOC2012"])
def test_the_voc_layout_is_found_where_its_archive_unpacks_to(draw: Draw, top: str) -> None:
    root = draw("pascal_voc")
    parent = root.parent / "unpacked" / top
    parent.parent.mkdir(parents=True)
    root.rename(parent)
    source = open_benchmark("pascal_voc", root.parent / "unpacked")
    assert source[0]["key"] == str(parent / "JPEGImages/b.jpg")


def test_missing_parts_of_the_voc_layout_are_named(draw: Draw) -> None:
    root = draw("pascal_voc")
    with pytest.raises(FileNotFoundError, match=r"split 'train' is not there .*; found \['val'\]"):
        open_benchmark("pascal_voc", root, split="train")
    with pytest.raises(
        FileNotFoundError,
        match=r"pascal_context data .*: folder SegmentationClassContext does not exist; found "
        r"ImageSets/, JPEGImages/, SegmentationClass/",
    ):
        open_benchmark("pascal_context", root)
    (root / "SegmentationClass/a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 files are missing, first .*a.png"):
        open_benchmark("pascal_voc", root)
    (root / "ImageSets/Segmentation/val.txt").write_text("")
    with pytest.raises(ValueError, match="expected at least one image, found none"):
        open_benchmark("pascal_voc", root)
    (root / "ImageSets/Segmentation/val.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"val.txt: expected UTF-8 text"):
        open_benchmark("pascal_voc", root)


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [
        ("pascal_voc", "JPEGImages does not exist .nor VOC2012/JPEGImages"),
        ("coco_object", "val2017 does not exist .nor images/val2017"),
        ("ade20k", "images/validation does not exist .nor ADEChallengeData2016/images/validation"),
        ("ade20k_full", "images/ADE/validation does not exist .nor ADE20K_2021_17_01/images"),
        ("cityscapes", "leftImg8bit/val does not exist"),
        ("imagenet", "folder val does not exist .nor ILSVRC2012_img_val"),
    ],
)
def test_a_wrong_root_lists_what_was_looked_for_and_what_was_found(
    tmp_path: Path, name: str, looked_for: str
) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=f"{looked_for}.*found holiday/, notes.txt"):
        open_benchmark(name, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"folder .*/none does not exist"):
        open_benchmark(name, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="found an empty folder"):
        open_benchmark(name, tmp_path / "holiday")


@pytest.mark.parametrize("name", ["coco_stuff", "ade20k", "ade20k_full", "cityscapes"])
def test_an_image_without_label_map_and_the_reverse_are_named(draw: Draw, name: str) -> None:
    root = draw(name)
    source = open_benchmark(name, root)
    image, label = Path(source[1]["key"]), Path(source[1]["label_key"])
    kept = label.read_bytes()
    label.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of 2 images have no label map, .*{image.name}"):
        open_benchmark(name, root)
    label.write_bytes(kept)
    image.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of 2 label maps have no image, .*{label.name}"):
        open_benchmark(name, root)


@pytest.mark.parametrize("name", ["coco_object", "ade20k", "ade20k_full", "cityscapes", "imagenet"])
def test_an_empty_data_set_is_an_error(draw: Draw, name: str) -> None:
    root = draw(name)
    for file in root.rglob("*.*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ValueError, match=r"expected at least one image.*found none"):
        open_benchmark(name, root)


def test_a_file_that_goes_away_later_is_a_bad_record(draw: Draw) -> None:
    source = open_benchmark("ade20k", draw("ade20k"))
    file = Path(source[0]["label_key"])
    file.unlink()
    with pytest.raises(BadRecordError, match=r"ADE_val_00000001.png: missing image"):
        source[0]


@pytest.mark.parametrize("name", ["coco_stuff", "cityscapes", "imagenet"])
def test_hidden_files_are_no_images(draw: Draw, name: str) -> None:
    root = draw(name)
    count = len(open_benchmark(name, root))
    for file in [path for path in root.rglob("*") if path.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(b"of the Finder")
    assert len(open_benchmark(name, root)) == count


def test_two_folders_are_paired_by_name(draw: Draw) -> None:
    root = draw("pascal_voc")
    (root / "SegmentationClass" / "readme.md").write_text("not a map")
    source = open_labelled_folders(root / "JPEGImages", root / "SegmentationClass")
    assert [Path(source[i]["key"]).name for i in range(2)] == ["a.jpg", "b.jpg"]
    assert source[0]["label_key"] == str(root / "SegmentationClass/a.png")
    (root / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 files are missing, first .*a.jpg"):
        open_labelled_folders(root / "JPEGImages", root / "SegmentationClass")
    with pytest.raises(FileNotFoundError, match=r"folder .*/none does not exist"):
        open_labelled_folders(root / "none", root / "SegmentationClass")
