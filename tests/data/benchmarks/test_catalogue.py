"""Every benchmark opened in its official layout, with labels checked by hand."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.benchmarks import BENCHMARKS, find_view, open_benchmark
from ovs_jax.data.images import decode_image, decode_label
from ovs_jax.data.records import BadRecordError, Source

Draw = Callable[[str], Path]

# Drawn ids (see conftest) on the left, class indices by hand on the right.
BY_HAND = {
    "voc21": [[0, 1, 20], [255, 15, 0]],
    "voc20": [[255, 0, 19], [255, 14, 255]],
    "context60": [[0, 1, 59], [7, 7, 0]],
    "context59": [[255, 0, 58], [6, 6, 255]],
    # STUFF is person, fire hydrant, stop sign (after the unused 11); banner, wood, unlabelled.
    "coco_stuff171": [[0, 10, 11], [80, 170, 255]],
    "coco_stuff_ovsegmentor": [[1, 11, 12], [81, 171, 0]],
    "coco_object81": [[1, 11, 12], [0, 0, 0]],
    "coco_object81_ovsegmentor": [[1, 11, 12], [81, 81, 0]],
    "ade150": [[255, 0, 149], [2, 4, 6]],
    "ade847": [[0, 1, 65535], [2, 65535, 3]],
    "cityscapes19": [[0, 1, 18], [255, 255, 2]],
}
VIEWS = [(name, view.name) for name, item in BENCHMARKS.items() for view in item.views]


def test_eight_benchmarks_with_their_class_lists() -> None:
    assert {name: item.class_sets for name, item in BENCHMARKS.items()} == {
        "pascal_voc": ("voc21", "voc20"),
        "pascal_context": ("context60", "context59"),
        "coco_object": ("coco_object81",),
        "coco_stuff": ("coco_stuff171", "coco_stuff_ovsegmentor"),
        "ade20k": ("ade150",),
        "ade20k_full": ("ade847",),
        "cityscapes": ("cityscapes19",),
        "imagenet": (),
    }
    names = [view for _, view in VIEWS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("benchmark", "view"), [pair for pair in VIEWS if pair[1] in BY_HAND])
def test_labels_are_class_indices(draw: Draw, benchmark: str, view: str) -> None:
    source = open_benchmark(view, draw(benchmark))
    assert isinstance(source, Source)
    assert len(source) == 2
    for index in range(2):
        record = pickle.loads(pickle.dumps(source))[index]
        assert record["label"].dtype == np.int32
        assert record["label"].tolist() == BY_HAND[view]
        assert decode_image(record["image"], name="x").shape == (2, 3, 3)
        assert Path(record["key"]).is_file()
        assert Path(record["label_key"]).is_file()
    assert source.class_set is find_view(view)[1].classes
    assert source.ignore_label == (65535 if view == "ade847" else 255)


@pytest.mark.parametrize("benchmark", [name for name in BENCHMARKS if name != "imagenet"])
def test_the_name_of_a_benchmark_means_its_usual_class_list(draw: Draw, benchmark: str) -> None:
    usual = BENCHMARKS[benchmark].views[0].name
    assert open_benchmark(benchmark, draw(benchmark))[0]["label"].tolist() == BY_HAND[usual]


def test_cityscapes_train_ids_are_preferred_where_they_were_made(
    draw: Draw, put_map: Callable[..., None]
) -> None:
    root = draw("cityscapes")
    for file in list(root.glob("gtFine/val/*/*labelIds.png")):
        put_map(file.with_name(file.name.replace("labelIds", "labelTrainIds")), [[18, 0, 255]] * 2)
    source = open_benchmark("cityscapes", root)
    assert [Path(source[i]["key"]).parent.name for i in range(2)] == ["bonn", "ulm"]
    assert source[0]["label"].tolist() == [[18, 0, 255]] * 2


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_converted_maps_of_ade20k_full_have_sixteen_bits(
    tmp_path: Path, put_map: Callable[..., None], put_photo: Callable[..., None], suffix: str
) -> None:
    put_photo(tmp_path / "images_detectron2/validation/a.jpg")
    ids = [[0, 846, 65535], [255, 256, 300]]
    put_map(tmp_path / f"annotations_detectron2/validation/a{suffix}", ids, np.uint16)
    assert open_benchmark("ade20k_full", tmp_path)[0]["label"].tolist() == ids


def test_ids_that_the_data_set_lacks_are_named_with_their_file(
    draw: Draw, put_map: Callable[..., None]
) -> None:
    root = draw("coco_stuff")
    put_map(root / "stuffthingmaps/val2017/000000000139.png", [[11, 0, 182], [11, 5, 254]])
    source = open_benchmark("coco_stuff", root)
    with pytest.raises(
        BadRecordError,
        match=r"139.png: unknown label ids \(got \[11, 182, 254\] in 4 pixels, expected 0 to 10, "
        r"12 to 24, 26 to 27, .* 91 to 181, 255\)",
    ):
        source[0]
    assert source[1]["label"].tolist() == BY_HAND["coco_stuff171"]


def test_a_map_of_colours_is_refused(draw: Draw) -> None:
    root = draw("pascal_voc")
    Image.new("RGB", (3, 2)).save(root / "SegmentationClass/b.png")
    with pytest.raises(BadRecordError, match=r"b.png: label map with colours"):
        open_benchmark("pascal_voc", root)[0]
    root = root.parent / "full"
    root.mkdir()
    (root / "images/ADE/validation").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(root / "images/ADE/validation/a.jpg")
    Image.new("RGB", (3, 2), (13, 2, 0)).save(root / "images/ADE/validation/a_seg.png")
    with pytest.raises(BadRecordError, match=r"colours that are no ids .*steps of 10, got \[13\]"):
        open_benchmark("ade20k_full", root)[0]


def test_unknown_names_and_splits_are_refused_with_the_known_ones(draw: Draw) -> None:
    with pytest.raises(
        ValueError, match=r"unknown 'ade15', expected one of \['ade20k', .*'ade150'"
    ):
        open_benchmark("ade15", "x")
    root = draw("ade20k")
    with pytest.raises(ValueError, match=r"split 'test' is unknown, expected .*\['val', 'train'\]"):
        open_benchmark("ade20k", root, split="test")
    with pytest.raises(FileNotFoundError, match=r"folder images/training does not exist"):
        open_benchmark("ade20k", root, split="train")


def test_real_voc_palettes_are_read_as_indices(shared_data: Path, tmp_path: Path) -> None:
    lists = tmp_path / "VOC2012/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / "VOC2012" / folder).symlink_to(shared_data / "labelme_voc2011" / folder)
    (lists / "val.txt").write_text("2011_000003\n2011_000006\n2011_000025\n")
    source = open_benchmark("pascal_voc", tmp_path)
    present = [np.unique(source[i]["label"]).tolist() for i in range(3)]
    assert present == [[0, 5, 15, 255], [0, 9, 15, 18, 255], [0, 6, 7]]
    twenty = open_benchmark("voc20", tmp_path)[1]["label"]
    assert np.unique(twenty).tolist() == [8, 14, 17, 255]


def test_the_drawn_voc_layout_of_real_photographs_fits_its_classes(shared_data: Path) -> None:
    source = open_benchmark("voc21", shared_data / "voc_layout")
    seen: set[int] = set()
    for index in range(0, len(source), 4):
        seen |= set(np.unique(source[index]["label"]).tolist())
    assert len(source) == 60
    assert seen <= {*range(21), 255}


def test_real_ade20k_2021_colours_are_what_their_descriptions_say(
    shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "images/ADE").mkdir(parents=True)
    folder = tmp_path / "images/ADE/validation"
    folder.symlink_to(shared_data / "ade20k_samples" / "ade20k_2021")
    source = open_benchmark("ade20k_full", tmp_path)
    assert len(source) == 3
    label = source[0]["label"]  # ADE_train_00016869, a street
    names = source.class_set.names
    counts = {names[i]: int((label == i).sum()) for i in np.unique(label) if i != 65535}
    assert counts["sky"] == 437203  # counted apart, from red / 10 * 256 + green == 2420
    assert counts["road, route"] == 1155851
    assert counts["traffic light, traffic signal, stoplight"] == 27948
    assert int((label == 65535).sum()) == 89604
    assert label.shape == (1536, 2048)


def test_real_coco_masks_are_background_and_things(shared_data: Path, tmp_path: Path) -> None:
    """The masks are turned back into a stuffthingmap by hand, with stuff where nothing was."""
    photos = shared_data / "photos_captions"
    file = photos / "labels_coco_object" / "000000000785.png"
    label = decode_label(file.read_bytes(), name="x")
    assert np.unique(label).tolist() == [0, 1, 31]  # person and skis, which has id 34 on disk
    stored = np.select([label == 1, label == 31], [0, 34], 158).astype(np.uint8)
    for folder in ("val2017", "stuffthingmaps/val2017"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "val2017/785.jpg").symlink_to(photos / "images" / "000000000785.jpg")
    Image.fromarray(stored).save(tmp_path / "stuffthingmaps/val2017/785.png")
    np.testing.assert_array_equal(open_benchmark("coco_object", tmp_path)[0]["label"], label)
    stuff = open_benchmark("coco_stuff", tmp_path)
    present = np.unique(stuff[0]["label"]).tolist()
    assert [stuff.class_set.names[i] for i in present] == ["person", "skis", "snow"]
