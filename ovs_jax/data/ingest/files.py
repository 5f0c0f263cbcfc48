"""Folders of images with captions, lists in JSON, and whatever is a source already."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ovs_jax.data.ingest.entries import Entry
from ovs_jax.data.ingest.readers import Part, numbered
from ovs_jax.data.ingest.tables import Locations, Row
from ovs_jax.data.records import BadRecordError, Source
from ovs_jax.data.sources import (
    captions_beside,
    complete_names,
    folder_images,
    read_image_file,
)


@dataclass(frozen=True)
class FolderReader:
    """Reads images with the text files beside them; each line of such a file is a caption.

    Attributes:
      folder: is searched, with all folders within.
      images_a_part: how many images a part has.
    """

    folder: Path
    images_a_part: int

    def parts(self) -> list[Part]:
        """The names of so many images each."""
        names = list(folder_images(self.folder))
        return numbered([(tuple(some), None) for some in _pieces(names, self.images_a_part)])

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of some images."""
        for name in part.place:
            captions: tuple[Any, ...] = (None,)
            try:
                captions = captions_beside(self.folder / name)
                yield Entry(name, read_image_file(self.folder / name), captions)
            except BadRecordError as error:
                yield Entry(name, None, captions, error.reason, error.detail)


@dataclass(frozen=True)
class ListReader:
    """Reads a JSON file: a list of objects, or an object of image name to caption or captions.

    Attributes:
      path: the file, for messages.
      rows: what it lists.
      caption_column: the field of captions.
      locations: where the images are.
      rows_a_part: how many rows a part has.
    """

    path: Path
    rows: tuple[Row, ...] = field(repr=False)
    caption_column: str
    locations: Locations
    rows_a_part: int

    def parts(self) -> list[Part]:
        """So many rows each."""
        starts = range(0, len(self.rows), self.rows_a_part)
        pieces = _pieces(self.rows, self.rows_a_part)
        return numbered(
            [((first, *some), None) for first, some in zip(starts, pieces, strict=True)]
        )

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of some rows."""
        first, *rows = part.place
        for number, row in enumerate(rows, start=first):
            yield self.locations.entry(
                row, number, table=self.path, caption_column=self.caption_column
            )

    def __getstate__(self) -> dict[str, Any]:
        # The rows travel with the parts.
        return self.__dict__ | {"rows": ()}


def open_list(
    path: Path, *, caption_column: str, folder: Path, locations: Locations, rows_a_part: int
) -> ListReader:
    """A reader for a JSON file.

    Args:
      path: the file. If it is an object, its keys are the names of images, with or without suffix.
      caption_column: see `ListReader`.
      folder: where the images of an object are.
      locations: where the images of a list are.
      rows_a_part: see `ListReader`.

    Raises:
      ValueError: it is not JSON, or neither a list nor an object.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"table {path}: not JSON ({error})") from error
    rows: list[Row]
    if isinstance(content, list):
        rows = [row if isinstance(row, dict) else "row is not an object" for row in content]
    elif isinstance(content, dict):
        locations = replace(locations, folder=folder)
        names = complete_names(folder, list(content))
        rows = [
            {locations.image_column: name, caption_column: captions}
            if isinstance(name, str)
            else name.reason
            for name, captions in zip(names, content.values(), strict=True)
        ]
    else:
        raise ValueError(
            f"table {path}: expected a list of objects, or an object of image to captions, got "
            f"{type(content).__name__}"
        )
    return ListReader(path, tuple(rows), caption_column, locations, rows_a_part)


@dataclass(frozen=True)
class SourceReader:
    """Reads a source of images with captions, such as a TFDS data set or an ingested folder.

    Attributes:
      source: gives records by index.
      records_a_part: how many records a part has.
    """

    source: Source
    records_a_part: int

    def parts(self) -> list[Part]:
        """Ranges of records."""
        total = len(self.source)
        starts = range(0, total, self.records_a_part)
        ends = [min(start + self.records_a_part, total) for start in starts]
        return numbered(
            [((start, end), end - start) for start, end in zip(starts, ends, strict=True)]
        )

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of a range of records."""
        for index in range(*part.place):
            try:
                record = self.source[index]
            except BadRecordError as error:
                yield Entry(error.key, fault=error.reason, detail=error.detail)
                continue
            yield Entry(str(record["key"]), record["image"], (record["caption"],))


def _pieces(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
