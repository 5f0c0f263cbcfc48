"""Photographs with captions, as people have them: a folder, or a table of files and captions.

A source is anything with a length and records by index (`ovs_jax.data.records`). Faulty entries are
dropped when a source is opened, counted by reason and reported.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovs_jax.data.records import BadRecordError
from ovs_jax.data.tables import read_table

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")

_NO_CAPTION = object()  # stands where an image has no caption file
_NOT_UTF8 = object()  # stands where its caption file is in another encoding
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoCaptions:
    """Photographs on disk, each with a caption; one with several captions is several records.

    Attributes:
      folder: what the file names are relative to.
      files: one file a record.
      texts: one caption a record.
      dropped: how many entries were left out when the source was opened, by reason.
    """

    folder: Path
    files: tuple[str, ...] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image, its caption and its file as key.

        Raises:
          BadRecordError: the file is gone or cannot be read.
        """
        key = str(self.folder / self.files[index])
        return {"image": read_image_file(key), "caption": self.texts[index], "key": key}

    def captions(self) -> Sequence[str]:
        """All captions in the order of the records, without reading an image."""
        return self.texts


def read_image_file(path: str | Path) -> bytes:
    """The bytes of an image file.

    Raises:
      BadRecordError: there is no such file, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise BadRecordError(str(path), "missing image") from error
    except OSError as error:
        raise BadRecordError(str(path), "unreadable file", error.strerror or str(error)) from error


def open_image_text(
    path: str | Path, *, image_column: str = "image", caption_column: str = "caption"
) -> PhotoCaptions:
    """Opens photographs with captions.

    Args:
      path: a folder with ``photo.jpg`` beside ``photo.txt`` (one caption a line), also in folders
        within; or a folder with ``captions.json``, photo name (with or without suffix) to caption
        or list of captions, and the photos in it or in its folder ``images``; or a CSV, TSV, JSON
        (list of objects, or such an object of captions) or JSONL file whose image names are
        relative to it.
      image_column: the name of the column or field of image files.
      caption_column: the name of the column or field of captions.

    Returns:
      The pairs that can be used. Entries whose image is missing or whose caption is empty or no
      text are left out and reported.

    Raises:
      FileNotFoundError: there is nothing at ``path``.
      ValueError: the kind of file or its columns are not as expected, or no pair can be used.
    """
    path = Path(path)
    if path.is_dir():
        listed = path / "captions.json"
        if not listed.is_file():
            return _usable(path, path, _folder_pairs(path))
        path = listed
    if not path.is_file():
        raise FileNotFoundError(f"image-text data {path} does not exist")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError(f"image-text data {path}: expected a folder or one of {TABLE_SUFFIXES}")
    rows = read_table(path, image_column=image_column, caption_column=caption_column)
    if rows.keyed:
        images = path.parent / "images"
        folder = images if images.is_dir() else path.parent
        return _usable(path, folder, _with_suffix(folder, rows.pairs))
    return _usable(path, path.parent, rows.pairs)


def _folder_pairs(folder: Path) -> Iterable[tuple[str, Any]]:
    """Every image in a folder and those within, with each line of the text file beside it."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        present = set(names)
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in IMAGE_SUFFIXES:
                continue
            image = os.path.relpath(os.path.join(parent, name), folder)
            if f"{stem}.txt" not in present:
                yield image, _NO_CAPTION
                continue
            try:
                text = Path(parent, f"{stem}.txt").read_text(encoding="utf-8-sig")
            except UnicodeDecodeError:
                yield image, _NOT_UTF8
                continue
            lines = [line for line in text.splitlines() if line.strip()]
            for line in lines or [""]:
                yield image, line


def _with_suffix(folder: Path, pairs: Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Any]]:
    """Completes names such as ``000000000790`` to the image file of that name."""
    found = {
        os.path.splitext(name)[0]: name
        for name in sorted(os.listdir(folder), reverse=True)
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
    }
    for name, caption in pairs:
        yield found.get(name, name), caption


def _usable(origin: Path, folder: Path, pairs: Iterable[tuple[Any, Any]]) -> PhotoCaptions:
    files: list[str] = []
    texts: list[str] = []
    examples: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    exists: dict[str, bool] = {}
    for image, caption in pairs:
        reason = _fault(folder, image, caption, exists)
        if reason is None:
            files.append(image)
            texts.append(caption.strip())
        else:
            dropped[reason] += 1
            examples.setdefault(reason, str(image))
    report = ", ".join(
        f"{count} × {reason} (first: '{examples[reason]}')" for reason, count in dropped.items()
    )
    if not files:
        raise ValueError(
            f"image-text data {origin}: expected at least one image with a caption, found none; "
            f"{'dropped ' + report if report else 'there are no entries'}"
        )
    if dropped:
        _log.warning("%s: %d pairs, dropped %s", origin, len(files), report)
    return PhotoCaptions(folder, tuple(files), tuple(texts), dict(dropped))


def _fault(folder: Path, image: Any, caption: Any, exists: dict[str, bool]) -> str | None:
    """Why a pair cannot be used, or None."""
    if not isinstance(image, str) or not image.strip():
        return "no image name"
    if caption is _NO_CAPTION:
        return "no caption file"
    if caption is _NOT_UTF8:
        return "caption file is not UTF-8 text"
    if not isinstance(caption, str):
        return "caption is not text"
    if not caption.strip():
        return "empty caption"
    if image not in exists:
        exists[image] = os.path.isfile(os.path.join(folder, image))
    return None if exists[image] else "missing image"
