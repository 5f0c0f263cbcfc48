"""Photographs with label maps as encoded files, found in folders."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovs_jax.data.sources import IMAGE_SUFFIXES, read_image_file

LABEL_SUFFIXES = (".png", ".tif", ".tiff")
VOC_ROOTS = ("", "VOC2012", "VOC2010", "VOCdevkit/VOC2012", "VOCdevkit/VOC2010")
"""Where the layout of PASCAL VOC lies in what its archives unpack to."""


@dataclass(frozen=True)
class LabelledPhotos:
    """Photographs and their label maps, as encoded files.

    Attributes:
      root: the folder that all files are relative to.
      images: one file a record.
      labels: one file a record.
    """

    root: Path
    images: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image and label map; the image's file is the key.

        Raises:
          BadRecordError: one of the files is gone or cannot be read.
        """
        image, label = str(self.root / self.images[index]), str(self.root / self.labels[index])
        return {
            "image": read_image_file(image),
            "label": read_image_file(label),
            "key": image,
            "label_key": label,
        }


def open_voc(
    root: str | Path,
    *,
    split: str = "val",
    labels: str = "SegmentationClass",
    lists: str = "ImageSets/Segmentation",
    what: str = "VOC data",
) -> LabelledPhotos:
    """Opens data in the layout of PASCAL VOC; the labels stay as they are stored.

    Args:
      root: the folder with ``JPEGImages``, the folder of label maps and that of lists; or one that
        holds it as the archives unpack it, such as ``VOCdevkit``.
      split: which list to read, without ``.txt``.
      labels: the folder of label maps.
      lists: the folder of lists.
      what: what messages call the data.

    Returns:
      The images of the split, in its order.

    Raises:
      FileNotFoundError: a folder, the list or any file that it names is missing.
      ValueError: the list is empty or no text.
    """
    root = Path(root)
    photos = locate(what, root, [f"{top}/JPEGImages".lstrip("/") for top in VOC_ROOTS])
    top = photos.removesuffix("JPEGImages")
    labels, lists = (locate(what, root, [top + folder]) for folder in (labels, lists))
    file = root / lists / f"{split}.txt"
    if not file.is_file():
        found = sorted(path.stem for path in file.parent.glob("*.txt"))
        raise FileNotFoundError(
            f"{what} {root}: split '{split}' is not there ({lists}/{split}.txt); found {found}"
        )
    try:
        names = file.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {root}: {file}: expected UTF-8 text ({error})") from error
    images = [f"{photos}/{name}.jpg" for name in names]
    maps = [f"{labels}/{name}.png" for name in names]
    missing = [name for name in (*images, *maps) if not (root / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{what} {root}, split '{split}': {len(missing)} of {2 * len(names)} files are "
            f"missing, first {root / missing[0]}"
        )
    return _not_empty(f"{what} {root}, split '{split}'", root, images, maps)


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
    here = Path()
    maps = by_stem(files_in(here, str(labels), suffixes=LABEL_SUFFIXES))
    photos = by_stem(files_in(here, str(images), suffixes=IMAGE_SUFFIXES))
    what = f"labelled photos {images}, {labels}"
    missing = [images / f"{name}.jpg" for name in maps if name not in photos]
    if missing:
        raise FileNotFoundError(
            f"{what}: {len(missing)} of {2 * len(maps)} files are missing, first {missing[0]}"
        )
    return paired(what, here, {name: photos[name] for name in maps}, maps)


def paired(
    what: str, root: Path, images: Mapping[str, str], labels: Mapping[str, str]
) -> LabelledPhotos:
    """Brings images and label maps of the same names together, in the order of the names.

    Args:
      what: what messages call the data.
      root: the folder that the files are relative to.
      images: files by name.
      labels: files by name.

    Raises:
      FileNotFoundError: an image has no label map, or the reverse.
      ValueError: there is none.
    """
    lone = {
        "images have no label map": sorted(images.keys() - labels.keys()),
        "label maps have no image": sorted(labels.keys() - images.keys()),
    }
    for fault, names in lone.items():
        if names:
            files = images if "images have" in fault else labels
            raise FileNotFoundError(
                f"{what}: {len(names)} of {len(files)} {fault}, first {root / files[names[0]]}"
            )
    names = sorted(images)
    return _not_empty(what, root, [images[i] for i in names], [labels[i] for i in names])


def locate(what: str, root: Path, folders: Sequence[str]) -> str:
    """The first of some folders that exists.

    Args:
      what: what messages call the data.
      root: the folder that the others are relative to.
      folders: the names that are possible.

    Raises:
      FileNotFoundError: there is none; the message has those that were looked for, and what the
        root holds.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{what} {root}: folder {root} does not exist")
    for folder in folders:
        if (root / folder).is_dir():
            return folder
    found = sorted(f"{path.name}/" if path.is_dir() else path.name for path in root.iterdir())
    more = f" and {len(found) - 12} more" if len(found) > 12 else ""
    others = f" (nor {', '.join(folders[1:])})" if len(folders) > 1 else ""
    raise FileNotFoundError(
        f"{what} {root}: folder {folders[0]} does not exist{others}; "
        f"found {', '.join(found[:12]) + more if found else 'an empty folder'}"
    )


def files_in(root: Path, folder: str, *, suffixes: Sequence[str]) -> Iterator[str]:
    """The files of a folder with certain suffixes, relative to the root, sorted.

    Hidden files are left out: archives made on a Mac have ``._photo.jpg`` beside ``photo.jpg``.
    """
    for path in sorted((root / folder).iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            yield f"{folder}/{path.name}"


def by_stem(files: Iterable[str]) -> dict[str, str]:
    """Files by their name without folder and suffix."""
    return {Path(file).stem: file for file in files}


def _not_empty(
    what: str, root: Path, images: Sequence[str], labels: Sequence[str]
) -> LabelledPhotos:
    if not images:
        raise ValueError(f"{what}: expected at least one image, found none")
    return LabelledPhotos(root, tuple(images), tuple(labels))
