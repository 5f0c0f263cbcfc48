"""Captions alone, from files of any length: read in blocks, and rows written again as they stand.

No image is looked at, so that the captions of a whole data set can be examined before any image is
downloaded. A row is never understood further than to its caption.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from ovs_jax.data.entity_index import BLOCK

ROW_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class RowBlock:
    """Consecutive rows of a file.

    Attributes:
      captions: one a row; what holds no caption, or one that is not UTF-8 text, gives "".
      rows: the rows themselves, for `RowFile.writing`.
    """

    captions: list[str]
    rows: Any


@runtime_checkable
class RowWriter(Protocol):
    """Writes some rows of blocks, in the form in which they were read."""

    def write(self, block: RowBlock, kept: Sequence[int]) -> None:
        """Writes the rows of these numbers (ascending, from 0 within the block)."""
        ...


@dataclass(frozen=True)
class RowFile:
    """A file with a caption in every row.

    A text file has one caption a line; CSV and TSV have a line of column names, and in TSV
    quotation marks are part of the caption; JSONL has an object a line.

    Attributes:
      path: the file; its suffix, one of `ROW_SUFFIXES`, tells its kind.
      column: where the captions are: the name of a column or field. A number, from 1 on, means a
        CSV or TSV file without a line of names, as CC3M and CC12M come.
    """

    path: Path
    column: str = "caption"

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise FileNotFoundError(f"captions {self.path}: there is no such file")
        if self.path.suffix.lower() not in ROW_SUFFIXES:
            raise ValueError(f"captions {self.path}: expected one of {ROW_SUFFIXES}")

    def blocks(self, size: int = BLOCK) -> Iterator[RowBlock]:
        """The rows in order.

        Raises:
          ValueError: the column is not there, or the file is not of the kind its suffix says.
        """
        kind = self.path.suffix.lower()
        if kind == ".parquet":
            yield from self._parquet_blocks(size)
            return
        with open(self.path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if kind == ".csv":
                rows = self._from_csv(csv.reader(file))
            else:
                lines = (line.rstrip("\r\n") for line in _lines(file))
                rows = {".txt": _whole, ".tsv": self._from_tsv, ".jsonl": self._from_json}[kind](
                    lines
                )
            captions: list[str] = []
            kept: list[Any] = []
            for caption, row in rows:
                captions.append(_text(caption))
                kept.append(row)
                if len(kept) == size:
                    yield RowBlock(captions, kept)
                    captions, kept = [], []
            if kept:
                yield RowBlock(captions, kept)

    def columns(self) -> list[str]:
        """The names of the columns, where the file has names."""
        kind = self.path.suffix.lower()
        if kind == ".parquet":
            return pq.read_schema(self.path).names
        if kind == ".txt" or self.column.isdigit():
            return []
        with open(self.path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if kind == ".csv":
                return next(csv.reader(file), [])
            first = file.readline().rstrip("\r\n")
            if kind == ".tsv":
                return first.split("\t")
            parsed = _parsed(first)
            return list(parsed) if isinstance(parsed, dict) else []

    def writing(self, path: Path, stack: ExitStack) -> RowWriter:
        """A writer of rows of this file.

        Args:
          path: the file to write.
          stack: closes it.
        """
        kind = self.path.suffix.lower()
        if kind == ".parquet":
            schema = pq.read_schema(self.path)
            return _ParquetRows(stack.enter_context(pq.ParquetWriter(path, schema)))
        text = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        file = stack.enter_context(text)
        names = self.columns()
        if kind == ".csv":
            rows = csv.writer(file, lineterminator="\n")
            if names:
                rows.writerow(names)
            return _CsvRows(rows)
        if kind == ".tsv" and names:
            file.write("\t".join(names) + "\n")
        return _Lines(file)

    def _from_csv(self, reader: Any) -> Iterator[tuple[Any, list[str]]]:
        try:
            position = self._position(next(reader, [])) if not self.column.isdigit() else None
            number = int(self.column) - 1 if position is None else position
            for row in reader:
                if row:
                    yield (row[number] if number < len(row) else None), row
        except csv.Error as error:
            raise ValueError(f"captions {self.path}, line {reader.line_num}: {error}") from error

    def _from_tsv(self, lines: Iterator[str]) -> Iterator[tuple[Any, str]]:
        if self.column.isdigit():
            number = int(self.column) - 1
        else:
            number = self._position(next(lines, "").split("\t"))
        for line in lines:
            if line:
                values = line.split("\t")
                yield (values[number] if number < len(values) else None), line

    def _from_json(self, lines: Iterator[str]) -> Iterator[tuple[Any, str]]:
        known = False
        for line in lines:
            if line:
                row = _parsed(line)
                caption = row[self.column] if isinstance(row, dict) and self.column in row else None
                if not known and isinstance(row, dict):
                    self._position(list(row))
                    known = True
                yield caption, line

    def _parquet_blocks(self, size: int) -> Iterator[RowBlock]:
        try:
            with pq.ParquetFile(self.path) as file:
                self._position(file.schema_arrow.names)
                for batch in file.iter_batches(batch_size=size):
                    captions = [_text(value) for value in batch.column(self.column).to_pylist()]
                    yield RowBlock(captions, batch)
        except pa.ArrowException as error:
            raise ValueError(f"captions {self.path}: not Parquet ({error})") from error

    def _position(self, names: list[str]) -> int:
        if self.column not in names:
            raise ValueError(
                f"captions {self.path}: expected a column '{self.column}', found {names}; a number "
                "stands for a column of a CSV or TSV file without a line of names"
            )
        return names.index(self.column)


class _Lines:
    def __init__(self, file: Any):
        self._file = file

    def write(self, block: RowBlock, kept: Sequence[int]) -> None:
        self._file.writelines(f"{block.rows[number]}\n" for number in kept)


class _CsvRows:
    def __init__(self, writer: Any):
        self._writer = writer

    def write(self, block: RowBlock, kept: Sequence[int]) -> None:
        self._writer.writerows(block.rows[number] for number in kept)


class _ParquetRows:
    def __init__(self, writer: Any):
        self._writer = writer

    def write(self, block: RowBlock, kept: Sequence[int]) -> None:
        self._writer.write_batch(block.rows.take(list(kept)))


def _lines(file: Any) -> Iterator[str]:
    # A file opened with newline="" still ends lines at a lone carriage return: those of captions
    # are part of the line.
    rest = ""
    for line in file:
        rest += line
        if line.endswith("\n"):
            yield rest
            rest = ""
    if rest:
        yield rest


def _whole(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    return ((line, line) for line in lines)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _text(value: Any) -> str:
    """A caption as text; "" if it is none."""
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:  # bytes that were no UTF-8
            return ""
    return value.strip()
