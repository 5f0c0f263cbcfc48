from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data.ingest.detect import open_reader
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.ingest.parquet import ParquetReader, _runs


@given(st.lists(st.integers(0, 9)), st.integers(1, 12), st.booleans())
def test_every_row_of_a_file_is_in_one_part(groups: Sequence[int], rows: int, split: bool) -> None:
    starts = [sum(groups[:i]) for i in range(len(groups) + 1)]
    found = []
    for first, last, start, count in _runs(groups, rows, split=split):
        assert count > 0
        assert count <= rows or (not split and last == first + 1)
        begin = starts[first] + start
        assert begin + count <= starts[last]
        found += range(begin, begin + count)
    assert found == list(range(sum(groups)))


def test_a_large_group_of_file_names_is_divided_and_rows_keep_their_numbers(
    tmp_path: Path,
) -> None:
    rows = [{"url": f"http://x.org/{i}", "caption": str(i)} for i in range(700)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=600)
    for i in range(700):
        (tmp_path / f"{i}.jpg").write_bytes(str(i).encode())
    options = IngestOptions(name_pattern="{row}.jpg", records_per_shard=290)
    reader = open_reader(str(tmp_path / "t.parquet"), options)
    parts = reader.parts()
    assert [part.entries for part in parts] == [290, 290, 20, 100]
    found = [list(reader.read(part)) for part in parts]
    assert [len(entries) for entries in found] == [290, 290, 20, 100]
    flat = [(e.image, e.captions[0]) for entries in found for e in entries]
    assert flat == [(str(i).encode(), str(i)) for i in range(700)]


def test_a_broken_file_among_others_is_one_fault(tmp_path: Path) -> None:
    for name in ("a", "c", "d"):
        table = pa.Table.from_pylist([{"key": name, "jpg": bytes(9000), "caption": name}] * 3)
        pq.write_table(
            table, tmp_path / f"{name}.parquet", compression="none", use_dictionary=False
        )
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    data = bytearray((tmp_path / "c.parquet").read_bytes())
    data[4:300] = b"\xff" * 296  # the headers of the first pages
    (tmp_path / "c.parquet").write_bytes(data)
    reader = open_reader(str(tmp_path), IngestOptions())
    assert isinstance(reader, ParquetReader)
    parts = reader.parts()
    found = [list(reader.read(part)) for part in parts]
    assert [[entry.fault for entry in entries] for entries in found] == [
        [None] * 3,
        ["broken Parquet file"],
        ["broken Parquet file"],
        [None] * 3,
    ]
    (tmp_path / "d.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"d.parquet"):
        list(reader.read(parts[-1]))
