"""Where the official downloads of the benchmarks have their images and label maps.

Each function takes the root folder and a split, and gives the files with the function that decodes
a label map to the ids that the benchmark's tables expect.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovs_jax.data.benchmarks.conversion import decode_ade_full, decode_cityscapes_ids
from ovs_jax.data.benchmarks.folders import (
    LABEL_SUFFIXES,
    LabelledPhotos,
    by_stem,
    files_in,
    locate,
    open_voc,
    paired,
)
from ovs_jax.data.images import decode_label
from ovs_jax.data.sources import IMAGE_SUFFIXES

Decode = Callable[..., np.ndarray]
"""``decode(data, name=...)``: an encoded label map to ids, int32 [h, w]."""


@dataclass(frozen=True)
class Layout:
    """A benchmark as it was found in folders.

    Attributes:
      photos: its files.
      decode: what makes ids of a label map.
    """

    photos: LabelledPhotos
    decode: Decode = decode_label


def pascal_voc(root: Path, split: str) -> Layout:
    """PASCAL VOC 2012: ``JPEGImages``, ``SegmentationClass``, ``ImageSets/Segmentation``."""
    return Layout(open_voc(root, split=split, what="pascal_voc data"))


def pascal_context(root: Path, split: str) -> Layout:
    """PASCAL Context: ``SegmentationClassContext`` and ``ImageSets/SegmentationContext`` in VOC."""
    return Layout(
        open_voc(
            root,
            split=split,
            labels="SegmentationClassContext",
            lists="ImageSets/SegmentationContext",
            what="pascal_context data",
        )
    )


def coco_stuff(root: Path, split: str) -> Layout:
    """COCO 2017: ``val2017`` and ``stuffthingmaps/val2017``."""
    year = f"{split}2017"
    images = (year, f"images/{year}")
    labels = (
        f"stuffthingmaps/{year}",
        f"stuffthingmaps_trainval2017/{year}",
        f"annotations/{year}",
        f"annotations/stuffthingmaps/{year}",
    )
    return _same_names("coco data", root, images, labels)


def ade20k(root: Path, split: str) -> Layout:
    """ADE20K of the scene parsing challenge: ``images/validation``, ``annotations/validation``."""
    folder = {"val": "validation", "train": "training"}[split]
    tops = ("", "ADEChallengeData2016/")
    images, labels = (
        [f"{top}{kind}/{folder}" for top in tops] for kind in ("images", "annotations")
    )
    return _same_names("ade20k data", root, images, labels)


def ade20k_full(root: Path, split: str) -> Layout:
    """ADE20K 2021: ``images/ADE/validation`` with a ``_seg.png`` beside every photograph.

    Where the root holds ``images_detectron2`` and ``annotations_detectron2``, with label maps of 16
    bits that have class indices and 65535 where nothing is judged, those are read: published scores
    were made with them, whose short side is at most 512.
    """
    what = "ade20k_full data"
    folder = {"val": "validation", "train": "training"}[split]
    tops = ("", "ADE20K_2021_17_01/")
    official, photos, maps = (
        [f"{top}{kind}/{folder}" for top in tops]
        for kind in ("images/ADE", "images_detectron2", "annotations_detectron2")
    )
    if any((root / labels).is_dir() for labels in maps):
        return _same_names(what, root, photos, maps)
    top = locate(what, root, [*official, *maps])
    images, labels = {}, {}
    for path in _within(root, top):
        if path.endswith("_seg.png"):
            labels[path.removesuffix("_seg.png")] = path
        elif path.endswith(".jpg"):
            images[path.removesuffix(".jpg")] = path
    return Layout(paired(f"{what} {root}, {top}", root, images, labels), decode_ade_full)


def cityscapes(root: Path, split: str) -> Layout:
    """Cityscapes: ``leftImg8bit/val/CITY`` and ``gtFine/val/CITY``.

    The label maps are ``labelTrainIds`` where they were made, else the ``labelIds`` of the
    download.
    """
    what = "cityscapes data"
    photos = locate(what, root, [f"leftImg8bit/{split}"])
    truth = locate(what, root, [f"gtFine/{split}"])
    images = _ending(root, photos, "_leftImg8bit.png")
    labels, decode = _ending(root, truth, "_gtFine_labelTrainIds.png"), decode_label
    if not labels:
        labels, decode = _ending(root, truth, "_gtFine_labelIds.png"), decode_cityscapes_ids
    return Layout(paired(f"{what} {root}, split '{split}'", root, images, labels), decode)


def _same_names(what: str, root: Path, images: Sequence[str], labels: Sequence[str]) -> Layout:
    """Two folders with files of the same names; conversions beside the maps are left out."""
    photos, maps = locate(what, root, images), locate(what, root, labels)
    stored = by_stem(files_in(root, maps, suffixes=LABEL_SUFFIXES))
    stored = {name: file for name, file in stored.items() if not name.endswith("TrainIds")}
    files = by_stem(files_in(root, photos, suffixes=IMAGE_SUFFIXES))
    return Layout(paired(f"{what} {root}, {photos}", root, files, stored))


def _ending(root: Path, folder: str, ending: str) -> dict[str, str]:
    """Files within a folder by what precedes their common ending."""
    files = (path for path in _within(root, folder) if path.endswith(ending))
    return {path.rpartition("/")[2].removesuffix(ending): path for path in files}


def _within(root: Path, folder: str) -> list[str]:
    """All files at any depth that are not hidden, relative to the root, sorted."""
    return sorted(
        Path(parent, name).relative_to(root).as_posix()
        for parent, _, names in os.walk(root / folder)
        for name in names
        if not name.startswith(".")
    )
