"""Photographs with label maps: the layout of PASCAL VOC, and any two folders of the same names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from ovs_jax.data.images import decode_label
from ovs_jax.data.records import BadRecordError, Record
from ovs_jax.data.sources import IMAGE_SUFFIXES, read_image_file
from ovs_jax.typing import ClassSet

IGNORE = 255
"""The label of pixels that are not scored."""


@dataclass(frozen=True)
class LabelledPhotos:
    """Photographs and their label maps, as encoded files.

    Attributes:
      images: one file a record.
      labels: one file a record.
    """

    images: tuple[Path, ...] = field(repr=False)
    labels: tuple[Path, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image and label map; the image's file is the key.

        Raises:
          BadRecordError: one of the files is gone or cannot be read.
        """
        image, label = self.images[index], self.labels[index]
        return {
            "image": read_image_file(image),
            "label": read_image_file(label),
            "key": str(image),
            "label_key": str(label),
        }


def open_voc(
    root: str | Path, *, split: str = "val", labels: str = "SegmentationClass"
) -> LabelledPhotos:
    """Opens data in the layout of PASCAL VOC.

    Args:
      root: the folder with ``JPEGImages``, the folder of label maps and ``ImageSets/Segmentation``.
      split: which list in ``ImageSets/Segmentation`` to read, without ``.txt``.
      labels: the folder of label maps.

    Returns:
      The images of the split, in its order.

    Raises:
      FileNotFoundError: a folder, the list or any file that it names is missing.
      ValueError: the list is empty.
    """
    root = Path(root)
    lists = root / "ImageSets" / "Segmentation"
    for folder in (root, root / "JPEGImages", root / labels, lists):
        if not folder.is_dir():
            raise FileNotFoundError(f"VOC data {root}: folder {folder} does not exist")
    file = lists / f"{split}.txt"
    if not file.is_file():
        found = sorted(path.stem for path in lists.glob("*.txt"))
        raise FileNotFoundError(f"VOC data {root}: split '{split}' is not there; found {found}")
    try:
        names = file.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"VOC data {root}: {file}: expected UTF-8 text ({error})") from error
    return _existing(
        f"VOC data {root}, split '{split}'",
        [root / "JPEGImages" / f"{name}.jpg" for name in names],
        [root / labels / f"{name}.png" for name in names],
    )


def open_labelled_folders(images: str | Path, labels: str | Path) -> LabelledPhotos:
    """Opens every label map (PNG or TIFF) of one folder with the image of the same name in another.

    Raises:
      FileNotFoundError: a folder, or the image of a label map, is missing.
      ValueError: there is no label map.
    """
    images, labels = Path(images), Path(labels)
    for folder in (images, labels):
        if not folder.is_dir():
            raise FileNotFoundError(f"labelled photos: folder {folder} does not exist")
    maps = sorted(
        path for path in labels.iterdir() if path.suffix.lower() in (".png", ".tif", ".tiff")
    )
    photos = {path.stem: path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
    return _existing(
        f"labelled photos {images}, {labels}",
        [photos.get(path.stem, images / f"{path.stem}.jpg") for path in maps],
        maps,
    )


def _existing(origin: str, images: Sequence[Path], labels: Sequence[Path]) -> LabelledPhotos:
    if not images:
        raise ValueError(f"{origin}: expected at least one image, found none")
    missing = [str(path) for path in (*images, *labels) if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{origin}: {len(missing)} of {2 * len(images)} files are missing, first {missing[0]}"
        )
    return LabelledPhotos(tuple(images), tuple(labels))


def read_label(
    record: Record, *, classes: ClassSet, ignore: int = IGNORE
) -> Int32[np.ndarray, "h w"]:
    """The label map of a segmentation record, checked against a class list.

    Args:
      record: with ``label`` as encoded bytes or as integers [h, w].
      classes: the list that the labels index.
      ignore: a label that is allowed besides, for pixels that are not scored.

    Returns:
      The label of every pixel.

    Raises:
      BadRecordError: the map cannot be read, or it has labels outside the class list.
    """
    name = str(record.get("label_key", record["key"]))
    label = record["label"]
    if isinstance(label, bytes):
        label = decode_label(label, name=name)
    label = np.asarray(label)
    if label.ndim != 2 or not np.issubdtype(label.dtype, np.integer):
        raise BadRecordError(
            name,
            "label map of wrong kind",
            f"expected integers [h, w], got {label.dtype} {label.shape}",
        )
    present = np.unique(label)
    outside = [int(i) for i in present if not 0 <= i < len(classes) and i != ignore]
    if outside:
        raise BadRecordError(
            name,
            "labels outside the class list",
            f"expected 0 to {len(classes) - 1} of '{classes.name}' or {ignore}, got {outside[:8]}",
        )
    return label.astype(np.int32)
