"""Tables of image files and captions, read row by row: CSV, TSV and JSONL of any length.

A table is scanned once for the bytes at which its parts begin, so that every part can be read by
itself; a wrong row is a fault of that row alone. Where a table has addresses in place of files, as
those of Conceptual Captions, a pattern tells where each row was downloaded to.
"""

import codecs
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ovs_jax.data.ingest.entries import NOT_DOWNLOADED, Entry
from ovs_jax.data.ingest.readers import Part, numbered
from ovs_jax.data.records import BadRecordError
from ovs_jax.data.sources import read_image_file

ROW_SUFFIXES = (".csv", ".tsv", ".jsonl")
URL_COLUMN = "url"
ROWS_A_SHARD = 10_000
"""How many rows img2dataset downloads into one folder."""

Row = Mapping[str, Any] | str
"""The values of a row by column, or what is wrong with it."""


@dataclass(frozen=True)
class Locations:
    """Where the images of rows are.

    Attributes:
      folder: what file names are relative to.
      image_column: names the file, where a row has it.
      pattern: else the file; see `IngestOptions.name_pattern`.
    """

    folder: Path
    image_column: str
    pattern: str

    def entry(self, row: Row, number: int, *, table: Path, caption_column: str) -> Entry:
        """The entry of a row, its image read.

        Args:
          row: of the table.
          number: of the row, from 0.
          table: for messages.
          caption_column: the name of the column of captions.
        """
        if isinstance(row, str):
            return Entry(f"{table.name}:{number}", fault=row)
        value = row.get(caption_column)
        captions = tuple(value or ("",)) if isinstance(value, list) else (value,)
        if self.image_column in row:
            name, gone = row[self.image_column], "missing image"
            if not isinstance(name, str) or not name.strip():
                return Entry(f"{table.name}:{number}", None, captions, fault="no image name")
        elif URL_COLUMN in row:
            name, gone = self._downloaded(row, number), NOT_DOWNLOADED
        else:
            return Entry(f"{table.name}:{number}", None, captions, fault="no image name")
        try:
            return Entry(name, read_image_file(self.folder / name), captions)
        except BadRecordError as error:
            fault = gone if error.reason == "missing image" else error.reason
            return Entry(name, None, captions, fault, error.detail)
        except ValueError as error:  # a zero byte in the name
            return Entry(repr(name), None, captions, "no image name", str(error))

    def _downloaded(self, row: Mapping[str, Any], number: int) -> str:
        key = row.get("key")
        if not isinstance(key, str) or not key.isdigit():
            key = f"{number // ROWS_A_SHARD:05d}{number % ROWS_A_SHARD:04d}"
        else:
            number = int(key[:-4] or 0) * ROWS_A_SHARD + int(key[-4:])
        address = str(row.get(URL_COLUMN))
        return format_name(self.pattern, number=number, key=key, address=address)


def format_name(pattern: str, *, number: int, key: str, address: str) -> str:
    """The file that a row was downloaded to.

    Args:
      pattern: see `IngestOptions.name_pattern`.
      number: of the row, from 0.
      key: of the row.
      address: what was downloaded.

    Raises:
      ValueError: the pattern uses something else.
    """
    shard, sample = divmod(number, ROWS_A_SHARD)
    try:
        url_name = PurePosixPath(urlsplit(address).path).name
    except ValueError:
        url_name = ""
    values = {"row": number, "shard": shard, "sample": sample, "key": key, "url_name": url_name}
    try:
        return pattern.format(**values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(
            f"name_pattern {pattern!r}: expected the fields {list(values)} ({error!r})"
        ) from error


@dataclass(frozen=True)
class RowReader:
    """Reads a CSV, TSV or JSONL file.

    Attributes:
      path: the table.
      columns: their names; empty for JSONL.
      header: whether the first row is the names.
      caption_column: the column of captions.
      locations: where the images are.
      rows_a_part: how many rows a part has.
    """

    path: Path
    columns: tuple[str, ...]
    header: bool
    caption_column: str
    locations: Locations
    rows_a_part: int

    def parts(self) -> list[Part]:
        """Every so many rows; the table is scanned for where they begin."""
        size = self.path.stat().st_size
        places = []
        rows = self._rows(0)
        if self.header:
            next(rows, None)
        start, first, count = self._header_end(), 0, 0
        for end, _ in rows:
            count += 1
            if count == self.rows_a_part:
                places.append(((str(self.path), size, start, first, count), count))
                start, first, count = end, first + count, 0
        if count:
            places.append(((str(self.path), size, start, first, count), count))
        return numbered(places)

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of the rows of a part."""
        _, _, start, first, count = part.place
        for number, (_, row) in enumerate(islice(self._rows(start), count), start=first):
            yield self.locations.entry(
                row, number, table=self.path, caption_column=self.caption_column
            )

    def _header_end(self) -> int:
        return next(self._rows(0), (0, {}))[0] if self.header else 0

    def _rows(self, start: int) -> Iterator[tuple[int, Row]]:
        """Rows that are not empty, from a byte on, each with the byte behind it."""
        with _Lines(self.path, start) as lines:
            if self.path.suffix.lower() == ".jsonl":
                for line in lines:
                    if line.strip():
                        yield lines.position, _json_row(line)
                return
            reader = csv.reader(lines, **table_style(self.path))
            while True:
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    yield lines.position, "row is not CSV"
                    continue
                if values:
                    yield lines.position, self._row(values)

    def _row(self, values: Sequence[str]) -> Row:
        if len(values) > len(self.columns):
            return "row has too many values"
        missing = len(self.columns) - len(values)
        return dict(zip(self.columns, [*values, *[""] * missing], strict=True))


def open_rows(
    path: Path, *, caption_column: str, locations: Locations, rows_a_part: int
) -> RowReader:
    """A reader for a CSV, TSV or JSONL file.

    The first row of CSV and TSV names the columns; or, as in the lists of Conceptual Captions and
    Conceptual 12M, there are no names and each row is a caption and an address, in either order.

    Args:
      path: the table.
      caption_column: see `RowReader`, as the rest.
      locations: where the images are.
      rows_a_part: how many rows a part has.

    Raises:
      ValueError: the columns are not there.
    """
    columns: tuple[str, ...] = ()
    header = False
    if path.suffix.lower() != ".jsonl":
        with _Lines(path, 0) as lines:
            first = next((row for row in csv.reader(lines, **table_style(path)) if row), [])
        columns = tuple(name.strip() for name in first)
        header = True
        addresses = [name.startswith(("http://", "https://")) for name in columns]
        if len(columns) == 2 and sum(addresses) == 1:
            columns = tuple(URL_COLUMN if there else caption_column for there in addresses)
            header = False
        check_columns(path, columns, caption_column=caption_column, locations=locations)
    return RowReader(path, columns, header, caption_column, locations, rows_a_part)


def check_columns(
    path: Path, found: Sequence[str], *, caption_column: str, locations: Locations
) -> None:
    """Checks that a table has what its entries need.

    Raises:
      ValueError: it has neither files nor addresses, or no captions.
    """
    images = {locations.image_column, URL_COLUMN}
    if caption_column not in found or not images & set(found):
        raise ValueError(
            f"table {path}: expected the columns ['{locations.image_column}' or '{URL_COLUMN}', "
            f"'{caption_column}'], found {list(found)}"
        )


class _Lines:
    """The lines of a file from a byte on; `position` is the byte behind the last one given.

    Bytes that are not UTF-8 become lone surrogates, which no caption may hold.
    """

    def __init__(self, path: Path, start: int):
        self._file = open(path, "rb")  # noqa: SIM115, closed on exit
        self._file.seek(start)
        self.position = start

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        text = line if self.position else line.removeprefix(codecs.BOM_UTF8)
        self.position += len(line)
        return text.decode("utf-8", "surrogateescape")


def table_style(path: Path) -> dict[str, Any]:
    """How values are divided. Quotation marks in TSV files of captions are part of the caption."""
    if path.suffix.lower() == ".tsv":
        return {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    return {}


def _json_row(line: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "row is not JSON"
    return row if isinstance(row, dict) else "row is not an object"
