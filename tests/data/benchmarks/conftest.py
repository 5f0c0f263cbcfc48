"""Every benchmark in miniature: drawn files in the layout of the official download."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

VOC = [[0, 1, 20], [255, 15, 0]]
CONTEXT = [[0, 1, 59], [7, 7, 0]]
STUFF = [[0, 10, 12], [91, 181, 255]]
ADE = [[0, 1, 150], [3, 5, 7]]
CITY = [[7, 8, 33], [0, 4, 11]]
FULL = [[2978, 312, 0], [2420, 1, 2855]]  # wall, building, none; sky, not one of the 847, tree


def save_photo(file: Path, *, size: tuple[int, int] = (3, 2)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 200)).save(file)


def save_map(file: Path, ids: object, dtype: type = np.uint8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(ids, dtype)).save(file)


def save_palette(file: Path, ids: object) -> None:
    """As VOC has it: the colours say nothing of the index."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(ids, np.uint8))
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([value for i in range(256) for value in (255 - i, 9, i // 2)])
    image.save(file)


def save_colours(file: Path, ids: object) -> None:
    """As ADE20K 2021 has it; blue counts instances."""
    numbers = np.array(ids)
    save_map(file, np.stack([numbers // 256 * 10, numbers % 256, numbers % 3], axis=-1))


def voc(root: Path, labels: str, lists: str, ids: object) -> None:
    for name in ("b", "a"):
        save_photo(root / "JPEGImages" / f"{name}.jpg")
        save_palette(root / labels / f"{name}.png", ids)
    (root / lists).mkdir(parents=True)
    (root / lists / "val.txt").write_text("b\na\n")


def pascal_voc(root: Path) -> None:
    voc(root, "SegmentationClass", "ImageSets/Segmentation", VOC)


def pascal_context(root: Path) -> None:
    voc(root, "SegmentationClassContext", "ImageSets/SegmentationContext", CONTEXT)


def coco(root: Path) -> None:
    for name in ("000000000139", "000000000285"):
        save_photo(root / "val2017" / f"{name}.jpg")
        save_map(root / "stuffthingmaps/val2017" / f"{name}.png", STUFF)
    save_map(root / "stuffthingmaps/val2017/000000000139_labelTrainIds.png", [[0]])


def ade20k(root: Path) -> None:
    for name in ("ADE_val_00000001", "ADE_val_00000002"):
        save_photo(root / "images/validation" / f"{name}.jpg")
        save_map(root / "annotations/validation" / f"{name}.png", ADE)


def ade20k_full(root: Path) -> None:
    folder = root / "images/ADE/validation/urban/street"
    for name in ("ADE_val_00000001", "ADE_val_00000002"):
        save_photo(folder / f"{name}.jpg")
        save_colours(folder / f"{name}_seg.png", FULL)
        save_map(folder / f"{name}_parts_1.png", [[0]])
        save_map(folder / name / f"instance_000_{name}.png", [[0]])


def cityscapes(root: Path) -> None:
    for city, frame in (("ulm", "ulm_000000_000019"), ("bonn", "bonn_000001_000019")):
        save_photo(root / "leftImg8bit/val" / city / f"{frame}_leftImg8bit.png")
        truth = root / "gtFine/val" / city / f"{frame}_gtFine"
        save_map(Path(f"{truth}_labelIds.png"), CITY)
        save_map(Path(f"{truth}_instanceIds.png"), [[0]])
        save_photo(Path(f"{truth}_color.png"))


def imagenet(root: Path) -> None:
    for synset, number in (("n01440764", 293), ("n15075141", 1), ("n01443537", 7)):
        save_photo(root / "val" / synset / f"ILSVRC2012_val_{number:08d}.JPEG")


DRAWN = {
    "pascal_voc": pascal_voc,
    "pascal_context": pascal_context,
    "coco_object": coco,
    "coco_stuff": coco,
    "ade20k": ade20k,
    "ade20k_full": ade20k_full,
    "cityscapes": cityscapes,
    "imagenet": imagenet,
}


@pytest.fixture
def draw(tmp_path: Path) -> Callable[[str], Path]:
    """``draw(name)`` draws a benchmark and gives its root folder."""

    def drawn(name: str) -> Path:
        root = tmp_path / "download"
        root.mkdir()
        DRAWN[name](root)
        return root

    return drawn


@pytest.fixture
def put_map() -> Callable[..., None]:
    """``put_map(file, ids, dtype)`` writes a label map as 8 or 16 bits of grey."""
    return save_map


@pytest.fixture
def put_photo() -> Callable[..., None]:
    """``put_photo(file, size=(w, h))`` writes a photograph."""
    return save_photo
