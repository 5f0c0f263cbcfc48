"""Photographs with captions, as people have them: a folder, or a table of files and captions.

A source is anything with a length and records by index (`ovs_jax.data.records`). Faulty entries are
dropped when a source is opened, counted by reason and reported.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovs_jax.data.manifest import is_ingested
from ovs_jax.data.parquet import ParquetCaptions, read_parquet
from ovs_jax.data.records import BadRecordError, CaptionSource
from ovs_jax.data.shards import ShardedCaptions
from ovs_jax.data.tables import read_table

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
TFDS_PREFIX = "tfds:"

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
    path: str | Path,
    *,
    image_column: str = "image",
    caption_column: str = "caption",
    data_dir: str | None = None,
) -> CaptionSource:
    """Opens photographs with captions.

    Args:
      path: a folder that ``ovs-jax data ingest`` has made; or a folder with ``photo.jpg`` beside
        ``photo.txt`` (one caption a line), also in folders within; or a folder with
        ``captions.json``, photo name (with or without suffix) to caption or list of captions, and
        the photos in it or in its folder ``images``; or a CSV, TSV, JSON (list of objects, or such
        an object of captions), JSONL or Parquet file whose image names are relative to it, or a
        Parquet file with the images in it; or ``tfds:NAME`` or ``tfds:NAME:SPLIT``.
      image_column: the name of the column, field or feature of image files.
      caption_column: the name of the column, field or feature of captions.
      data_dir: where TFDS data sets are.

    Returns:
      The pairs that can be used. Entries whose image is missing or whose caption is empty or no
      text are left out and reported.

    Raises:
      FileNotFoundError: there is nothing at ``path``.
      ValueError: the kind of file or its columns are not as expected, or no pair can be used.
    """
    if str(path).startswith(TFDS_PREFIX):
        # Only who has such data pays for the import, which takes seconds.
        from ovs_jax.data.tfds_source import open_tfds

        return open_tfds(
            str(path), image_column=image_column, caption_column=caption_column, data_dir=data_dir
        )
    path = Path(path)
    if path.is_dir():
        if is_ingested(path):
            return ShardedCaptions(path)
        listed = path / "captions.json"
        if not listed.is_file():
            return _usable(path, path, _folder_pairs(path))
        path = listed
    if not path.is_file():
        raise FileNotFoundError(f"image-text data {path} does not exist")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError(f"image-text data {path}: expected a folder or one of {TABLE_SUFFIXES}")
    if path.suffix.lower() == ".parquet":
        table = read_parquet(path, image_column=image_column, caption_column=caption_column)
        return table if isinstance(table, ParquetCaptions) else _usable(path, path.parent, table)
    rows = read_table(path, image_column=image_column, caption_column=caption_column)
    if rows.keyed:
        folder = keyed_images(path)
        return _usable(path, folder, _keyed_pairs(folder, rows.pairs))
    return _usable(path, path.parent, rows.pairs)


def keyed_images(path: Path) -> Path:
    """The folder of the images that the keys of a JSON object name."""
    images = path.parent / "images"
    return images if images.is_dir() else path.parent


def folder_images(folder: Path) -> Iterator[str]:
    """The names of all images in a folder and those within, relative to it, in a fixed order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                yield os.path.relpath(os.path.join(parent, name), folder)


def captions_beside(image: Path) -> tuple[str, ...]:
    """The captions in the text file beside an image: its lines, or one empty caption.

    Raises:
      BadRecordError: there is no such file, or it is not UTF-8 text.
    """
    file = image.with_suffix(".txt")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise BadRecordError(str(image), "no caption file") from error
    except UnicodeDecodeError as error:
        raise BadRecordError(str(image), "caption file is not UTF-8 text", str(error)) from error
    except OSError as error:
        raise BadRecordError(str(image), "unreadable caption file", str(error)) from error
    return tuple(line for line in text.splitlines() if line.strip()) or ("",)


def complete_names(folder: Path, names: Sequence[Any]) -> list[Any]:
    """Completes names such as ``000000000790`` to the image file of that name.

    Args:
      folder: has the files.
      names: of images; one that is the name of a file stays as it is.

    Returns:
      As many: a file's name, or the given name if there is no such file, or a `BadRecordError`
      if there are several.
    """
    images = [n for n in os.listdir(folder) if os.path.splitext(n)[1].lower() in IMAGE_SUFFIXES]
    present = set(images)
    by_stem: dict[str, list[str]] = {}
    for image in sorted(images):
        by_stem.setdefault(os.path.splitext(image)[0], []).append(image)

    def complete(name: Any) -> Any:
        found = by_stem.get(name, [name])
        if name in present or len(found) == 1:
            return name if name in present else found[0]
        return BadRecordError(name, "several images of that name", ", ".join(found))

    return [complete(name) for name in names]


def _folder_pairs(folder: Path) -> Iterator[tuple[str, Any]]:
    for image in folder_images(folder):
        try:
            captions: tuple[Any, ...] = captions_beside(folder / image)
        except BadRecordError as error:
            captions = (error,)
        for caption in captions:
            yield image, caption


def _keyed_pairs(folder: Path, pairs: Sequence[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    names = complete_names(folder, [name for name, _ in pairs])
    for (name, caption), file in zip(pairs, names, strict=True):
        yield (name, file) if isinstance(file, BadRecordError) else (file, caption)


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
            f"{'dropped ' + report if report else 'there are no entries'}{_advice(origin)}"
        )
    if dropped:
        _log.warning("%s: %d pairs, dropped %s", origin, len(files), report)
    return PhotoCaptions(folder, tuple(files), tuple(texts), dict(dropped))


def _advice(origin: Path) -> str:
    kinds = (".tar", ".parquet")
    packed = origin.is_dir() and any(file.suffix in kinds for file in origin.iterdir())
    return "; tar and Parquet files need 'ovs-jax data ingest' first" if packed else ""


def _fault(folder: Path, image: Any, caption: Any, exists: dict[str, bool]) -> str | None:
    """Why a pair cannot be used, or None."""
    if not isinstance(image, str) or not image.strip():
        return "no image name"
    if isinstance(caption, BadRecordError):
        return caption.reason
    if not isinstance(caption, str):
        return "caption is not text"
    if not caption.strip():
        return "empty caption"
    if image not in exists:
        exists[image] = os.path.isfile(os.path.join(folder, image))
    return None if exists[image] else "missing image"
