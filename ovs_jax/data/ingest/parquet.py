"""Parquet tables: with the images themselves, as img2dataset writes them, or with their files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ovs_jax.data.ingest.entries import NOT_DOWNLOADED, Entry
from ovs_jax.data.ingest.readers import Part, is_machine_fault, numbered
from ovs_jax.data.ingest.tables import Locations, check_columns
from ovs_jax.data.parquet import find_columns, image_bytes, open_parquet

BROKEN = "broken Parquet file"
_ROWS_AT_ONCE = 256  # some ten megabytes of images


@dataclass(frozen=True)
class ParquetReader:
    """Reads Parquet files.

    A part is a run of row groups of one file, about as many rows as asked for; where the table
    names files, a row group may be several parts.

    Attributes:
      files: in order.
      caption_column: the column of captions.
      locations: where images are that are not in the table.
      rows_a_part: about how many rows a part has.
    """

    files: tuple[Path, ...]
    caption_column: str
    locations: Locations
    rows_a_part: int

    def parts(self) -> list[Part]:
        """Runs of row groups: file, size, first and last group, first row and number of rows."""
        places: list[tuple[tuple[Any, ...], int | None]] = []
        for path in self.files:
            size = path.stat().st_size
            try:
                with open_parquet(path) as file:
                    inside = self._columns(path, file.schema_arrow).image is not None
                    metadata = file.metadata
                    groups = [metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            except (pa.ArrowException, OSError) as error:
                if len(self.files) == 1:
                    raise ValueError(f"table {path}: not a Parquet file ({error})") from error
                places.append(((str(path), size, 0, 0, 0, 0, str(error)), None))
                continue
            for first, last, start, count in _runs(groups, self.rows_a_part, split=not inside):
                number = sum(groups[:first]) + start
                places.append(((str(path), size, first, last, start, count, number), count))
        return numbered(places)

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of a run of rows; what cannot be read counts as one.

        Raises:
          OSError: the file has vanished, or the machine cannot read it.
        """
        path = Path(part.place[0])
        first, last, start, count, number = part.place[2:]
        if isinstance(number, str):
            yield Entry(path.name, fault=BROKEN, detail=number)
            return
        stop = start + count
        place = 0
        try:
            with open_parquet(path) as file:
                columns = self._columns(path, file.schema_arrow)
                batches = file.iter_batches(
                    _ROWS_AT_ONCE, row_groups=list(range(first, last)), columns=columns.all
                )
                for batch in batches:
                    if place >= stop:
                        return
                    rows = batch.to_pylist() if place + len(batch) > start else [None] * len(batch)
                    for row in rows:
                        if start <= place < stop and row is not None:
                            yield self._entry(path, columns.image, row, number + place - start)
                        place += 1
        except (pa.ArrowException, OSError) as error:
            if is_machine_fault(error):
                raise
            yield Entry(f"{path.name}:{number + place - start}", fault=BROKEN, detail=str(error))

    def _columns(self, path: Path, schema: pa.Schema) -> "_Columns":
        image = find_columns(
            schema, image_column=self.locations.image_column, caption_column=self.caption_column
        ).image
        if image is None:
            check_columns(
                path, schema.names, caption_column=self.caption_column, locations=self.locations
            )
        wanted = [self.caption_column, self.locations.image_column, "url", "key", "status", image]
        return _Columns(image, [name for name in schema.names if name in wanted])

    def _entry(self, path: Path, image: str | None, row: dict[str, Any], number: int) -> Entry:
        if image is None:
            return self.locations.entry(row, number, table=path, caption_column=self.caption_column)
        key = row.get("key")
        key = key if isinstance(key, str) and key else f"{path.name}:{number}"
        data = image_bytes(row[image])
        value = row.get(self.caption_column)
        captions = tuple(value or ("",)) if isinstance(value, list) else (value,)
        # Where img2dataset could not download an image, the row is there and tells so.
        if data is None and row.get("status", "success") != "success":
            return Entry(key, None, captions, NOT_DOWNLOADED, str(row["status"]))
        return Entry(key, data, captions)


@dataclass(frozen=True)
class _Columns:
    image: str | None
    all: list[str]


def _runs(groups: Sequence[int], rows: int, *, split: bool) -> Iterator[tuple[int, int, int, int]]:
    """First group, last group (not included), first row within them, and number of rows."""
    first = total = 0
    for index, size in enumerate(groups):
        if total and total + size > rows:
            yield first, index, 0, total
            first, total = index, 0
        total += size
        if not total:
            first = index + 1
        elif split and total > rows:  # then it is one group alone
            for start in range(0, size, rows):
                yield index, index + 1, start, min(rows, size - start)
            first, total = index + 1, 0
    if total:
        yield first, len(groups), 0, total
