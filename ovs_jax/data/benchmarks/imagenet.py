"""ImageNet (ILSVRC 2012) for classification, from its official folders."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovs_jax.data.benchmarks.folders import files_in, locate
from ovs_jax.data.sources import IMAGE_SUFFIXES, read_image_file
from ovs_jax.text.class_sets import imagenet_synsets

WHAT = "imagenet data"
FOLDERS = ("{}", "ILSVRC2012_img_{}", "ILSVRC/Data/CLS-LOC/{}", "Data/CLS-LOC/{}")
TABLE = "LOC_val_solution.csv"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
DEVKIT = ("", "data", "ILSVRC2012_devkit_t12/data", "devkit/data")


@dataclass(frozen=True)
class ClassifiedPhotos:
    """Photographs with a class each, as encoded files.

    Attributes:
      root: the folder that all files are relative to.
      images: one file a record.
      classes: one class index a record, in the order of the synsets.
    """

    root: Path
    images: tuple[str, ...] = field(repr=False)
    classes: tuple[int, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image and its class as ``label_index``; the image's file is the key.

        Raises:
          BadRecordError: the file is gone or cannot be read.
        """
        key = str(self.root / self.images[index])
        return {
            "image": read_image_file(key),
            "label_index": self.classes[index],
            "key": key,
        }


def open_imagenet(root: Path, split: str) -> ClassifiedPhotos:
    """Opens ImageNet.

    Args:
      root: with the folder ``val`` (or ``train``) that holds a folder of images for every synset;
        or that holds the 50,000 images of validation side by side, and with their classes in
        ``LOC_val_solution.csv`` or in the development kit
        (``ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt`` and ``meta.mat``).
      split: ``val`` or ``train``.

    Returns:
      All images, sorted by file, with the index of their synset in alphabetical order.

    Raises:
      FileNotFoundError: a folder or the classes are missing.
      ValueError: there is no image, or an unknown synset.
    """
    top = locate(WHAT, root, [folder.format(split) for folder in FOLDERS])
    index = {synset: i for i, synset in enumerate(imagenet_synsets())}
    folders = sorted(path.name for path in (root / top).iterdir() if path.is_dir())
    if folders:
        unknown = [name for name in folders if name not in index]
        if unknown:
            raise ValueError(
                f"{WHAT} {root}: expected folders of the 1000 synsets in {top}, such as n01440764; "
                f"got {len(unknown)} others, first '{unknown[0]}'"
            )
        pairs = [
            (file, index[synset])
            for synset in folders
            for file in files_in(root, f"{top}/{synset}", suffixes=IMAGE_SUFFIXES)
        ]
    else:
        files = list(files_in(root, top, suffixes=IMAGE_SUFFIXES))
        synsets = _synsets_of_files(root, files) if files else {}
        unknown = sorted({*synsets.values()} - index.keys())
        if unknown:
            raise ValueError(
                f"{WHAT} {root}: got {unknown[:4]}, which are none of the 1000 synsets"
            )
        pairs = [(file, index[synsets[Path(file).stem]]) for file in files]
    if not pairs:
        raise ValueError(f"{WHAT} {root}: expected at least one image in {top}, found none")
    return ClassifiedPhotos(root, tuple(file for file, _ in pairs), tuple(i for _, i in pairs))


def _synsets_of_files(root: Path, files: list[str]) -> Mapping[str, str]:
    """The synset of every image of validation by its name without suffix."""
    for table in (root / TABLE, root / "ILSVRC" / TABLE):
        if table.is_file():
            return _complete(root, files, _from_table(table), table)
    for folder in DEVKIT:
        truth, meta = root / folder / TRUTH, root / folder / META
        if truth.is_file() and meta.is_file():
            return _complete(root, files, _from_devkit(truth, meta), truth)
    raise FileNotFoundError(
        f"{WHAT} {root}: {Path(files[0]).parent} has images side by side, so that their classes "
        f"are needed: looked for {TABLE}, and for {TRUTH} with {META} in {DEVKIT[2]} or beside; "
        f"found {sorted(path.name for path in root.iterdir())[:12]}"
    )


def _from_table(file: Path) -> dict[str, str]:
    """``ImageId,PredictionString``: the first word of the prediction is the synset."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        if {"ImageId", "PredictionString"} - {*(rows.fieldnames or ())}:
            raise ValueError(
                f"{WHAT}: {file}: expected the columns ImageId and PredictionString, got "
                f"{rows.fieldnames}"
            )
        return {row["ImageId"]: row["PredictionString"].partition(" ")[0] for row in rows}


def _from_devkit(truth: Path, meta: Path) -> dict[str, str]:
    """Line n is the class of image n, numbered as the kit numbers synsets, not alphabetically."""
    from scipy.io import loadmat  # slow to import, and needed only here

    synsets = loadmat(meta, squeeze_me=True)["synsets"]
    by_number = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    numbers = [int(word) for word in truth.read_text(encoding="utf-8").split()]
    unknown = sorted({*numbers} - by_number.keys())
    if unknown:
        raise ValueError(f"{WHAT}: {truth}: {meta.name} has no synsets of numbers {unknown[:8]}")
    return {
        f"ILSVRC2012_val_{line:08d}": by_number[number]
        for line, number in enumerate(numbers, start=1)
    }


def _complete(
    root: Path, files: list[str], synsets: Mapping[str, str], origin: Path
) -> Mapping[str, str]:
    missing = [file for file in files if Path(file).stem not in synsets]
    if missing:
        raise ValueError(
            f"{WHAT} {root}: {origin.name} has no class for {len(missing)} of {len(files)} images, "
            f"first {missing[0]}"
        )
    return {Path(file).stem: synsets[Path(file).stem] for file in files}
