"""Parquet tables with images in them, as img2dataset and the Hugging Face hub have them."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ovs_jax.data.records import BadRecordError

ENCODINGS = ("jpg", "jpeg", "png", "webp")
"""What img2dataset calls the column of images."""
MOST_BYTES = 2 * 2**30
"""The largest Parquet file whose images are read into memory."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageColumns:
    """Where a table has images and captions.

    Attributes:
      image: the column of encoded images, if it has one.
      caption: the column of captions, if it has it.
    """

    image: str | None
    caption: str | None


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a Parquet file, mapped into memory.

    Raises:
      pa.ArrowException, OSError: it cannot be read.
    """
    return pq.ParquetFile(path, memory_map=True)


def find_columns(schema: pa.Schema, *, image_column: str, caption_column: str) -> ImageColumns:
    """Finds images and captions in a table.

    Args:
      schema: of the table.
      image_column: the column of images, tried before those of `ENCODINGS`.
      caption_column: the column of captions.
    """
    image = next(
        (
            name
            for name in (image_column, *ENCODINGS)
            if name in schema.names and _holds_images(schema.field(name).type)
        ),
        None,
    )
    return ImageColumns(image, caption_column if caption_column in schema.names else None)


def image_bytes(value: Any) -> Any:
    """The encoded image in a cell, which may be a structure with the field ``bytes``."""
    return value.get("bytes") if isinstance(value, dict) else value


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def read_parquet(
    path: Path, *, image_column: str, caption_column: str
) -> "ParquetCaptions | list[tuple[Any, Any]]":
    """Opens a Parquet table of images and captions.

    Args:
      path: the file.
      image_column: the column of images or of their files.
      caption_column: the column of captions, each text or a list of such.

    Returns:
      A source, if the images are in the table; else pairs of image name and caption.

    Raises:
      ValueError: it is no Parquet file, or has not the columns; or it has images, but too many.
    """
    try:
        with open_parquet(path) as file:
            schema = file.schema_arrow
            found = find_columns(schema, image_column=image_column, caption_column=caption_column)
            wanted = [found.image or image_column, caption_column]
            if not set(wanted) <= set(schema.names):
                raise ValueError(
                    f"table {path}: expected the columns {wanted}, found {schema.names}"
                )
            if found.image is not None:
                return ParquetCaptions(
                    path, image_column=found.image, caption_column=caption_column
                )
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"table {path}: not a Parquet file ({error})") from error
    names, captions = (table[name].to_pylist() for name in wanted)
    return [
        (name, one) for name, value in zip(names, captions, strict=True) for one in _each(value)
    ]


def _each(value: Any) -> list[Any]:
    return value or [""] if isinstance(value, list) else [value]


class ParquetCaptions:
    """Images with captions from one Parquet file that fits into memory.

    Images are read when a record is first asked for, in each process for itself. Rows without a
    caption, and those that img2dataset could not download, are left out and reported.

    Attributes:
      dropped: how many captions were left out, by reason.

    Args:
      path: the file.
      image_column: has the encoded images.
      caption_column: has text, or lists of text.

    Raises:
      ValueError: the file is larger than `MOST_BYTES`, or no row can be used.
    """

    def __init__(self, path: Path, *, image_column: str, caption_column: str):
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ValueError(
                f"table {path}: {size} bytes of images are too many for random access "
                f"(at most {MOST_BYTES}); run 'ovs-jax data ingest' first"
            )
        self._path, self._column = path, image_column
        self._images: pa.ChunkedArray | None = None
        self._rows: list[int] = []
        self._captions: list[str] = []
        dropped: Counter[str] = Counter()
        with open_parquet(path) as file:
            names = {caption_column, "status"} & set(file.schema_arrow.names)
            for row, cells in enumerate(file.read(columns=sorted(names)).to_pylist()):
                for caption in _each(cells[caption_column]):
                    if cells.get("status", "success") != "success":
                        dropped["not downloaded"] += 1
                    elif not isinstance(caption, str):
                        dropped["caption is not text"] += 1
                    elif not caption.strip():
                        dropped["empty caption"] += 1
                    else:
                        self._rows.append(row)
                        self._captions.append(caption.strip())
        self.dropped = dict(dropped)
        if not self._rows:
            raise ValueError(
                f"image-text data {path}: expected at least one image with a caption, found none; "
                f"dropped {self.dropped}"
            )
        if dropped:
            _log.warning("%s: %d pairs, dropped %s", path, len(self), self.dropped)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image, its caption and its place as key.

        Raises:
          BadRecordError: the row has no image.
        """
        key = f"{self._path}:{self._rows[index]}"
        images = self._images
        if images is None:
            with open_parquet(self._path) as file:
                images = self._images = file.read(columns=[self._column])[self._column]
        image = image_bytes(images[self._rows[index]].as_py())
        if image is None:
            raise BadRecordError(key, "missing image")
        return {"image": image, "caption": self._captions[index], "key": key}

    def captions(self) -> Sequence[str]:
        """All captions in the order of the records, without reading an image."""
        return self._captions

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_images": None}
