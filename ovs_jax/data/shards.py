"""Ingested records: how one is stored, how a shard is written, and how a folder of them is read.

A record is a msgpack map of ``image`` (the encoded file, unchanged), ``caption`` and ``key``. A
shard is an ArrayRecord file of such records, each for itself, so that any of them is read in one
go; beside it stands a Parquet file of keys and captions, so that these are read without an image.
"""

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, overload

import msgpack
import pyarrow as pa
import pyarrow.parquet as pq
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from ovs_jax.data.durable import draft_of, publish, sha256
from ovs_jax.data.manifest import Shard, read_manifest
from ovs_jax.data.records import BadRecordError

FIELDS = {"image": bytes, "caption": str, "key": str}
_WRITING = "group_size:1,uncompressed"  # the images are compressed already
_READING = "readahead_buffer_size:0,max_parallelism:0"  # for random access
_OPEN_SHARDS = 256  # of one source, well below the usual limit of 1024 open files a process
_ROW_GROUP = 65536


def encode_record(record: dict[str, Any]) -> bytes:
    """A record as bytes.

    Args:
      record: ``image`` (bytes), ``caption`` and ``key`` (str).

    Raises:
      TypeError: a field is missing, or of another type.
    """
    kinds = {name: type(value) for name, value in record.items()}
    if kinds != FIELDS:
        raise TypeError(f"record: expected the fields {FIELDS}, got {kinds}")
    data = msgpack.packb({name: record[name] for name in FIELDS})
    return b"" if data is None else data  # never None: the type is for streams


def decode_record(data: bytes, *, name: str) -> dict[str, Any]:
    """A record from bytes.

    Args:
      data: what `encode_record` gave.
      name: where it was found, for messages.

    Raises:
      BadRecordError: it is something else.
    """
    try:
        record = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadRecordError(name, "not a record", str(error)) from error
    if not isinstance(record, dict) or {k: type(v) for k, v in record.items()} != FIELDS:
        raise BadRecordError(name, "not a record", f"expected a map of {list(FIELDS)}")
    return record


def shard_name(index: int, count: int) -> str:
    """The name of a shard, such as ``shard-00000-of-00010``."""
    return f"shard-{index:05d}-of-{count:05d}"


class ShardWriter:
    """Writes one shard; it has no name before `close` has made sure of it.

    Args:
      folder: where the shard goes.
      name: from `shard_name`.
    """

    def __init__(self, folder: Path, name: str):
        self._files = [folder / f"{name}.array_record", folder / f"{name}.captions.parquet"]
        self._drafts = [draft_of(file) for file in self._files]
        self._keys: list[str] = []
        self._captions: list[str] = []
        self._writer = ArrayRecordWriter(str(self._drafts[0]), _WRITING)

    def write(self, record: dict[str, Any]) -> None:
        """Appends a record.

        Raises:
          TypeError: see `encode_record`.
          OSError: it cannot be written, as on a full disk.
        """
        data = encode_record(record)
        try:
            self._writer.write(data)
        except RuntimeError as error:
            raise self._failed(error) from error
        self._keys.append(record["key"])
        self._captions.append(record["caption"])

    def close(self) -> Shard:
        """Finishes the shard: both files are on the disk, whole, under their names.

        Raises:
          OSError: that is not so, as on a full disk.
        """
        try:
            self._writer.close()
        except RuntimeError as error:
            raise self._failed(error) from error
        table = pa.table({"key": self._keys, "caption": self._captions}, schema=_SCHEMA)
        pq.write_table(table, self._drafts[1], row_group_size=_ROW_GROUP, compression="zstd")
        written = _records(self._drafts[0])
        if written != len(self._keys):
            raise OSError(
                f"{self._files[0]}: {len(self._keys)} records were written, {written} can be read"
            )
        digests = [sha256(draft) for draft in self._drafts]
        size = self._drafts[0].stat().st_size
        for draft, file in zip(self._drafts, self._files, strict=True):
            publish(draft, file)
        return Shard(
            self._files[0].name, len(self._keys), size, digests[0], self._files[1].name, digests[1]
        )

    def discard(self) -> None:
        """Removes what was written; after `close` there is nothing to remove."""
        if self._writer.is_open():
            with suppress(RuntimeError):  # the error that led here tells more
                self._writer.close()
        for draft in self._drafts:
            draft.unlink(missing_ok=True)

    def _failed(self, error: RuntimeError) -> OSError:
        return OSError(f"{self._files[0]} cannot be written: {error}")


_SCHEMA = pa.schema([("key", pa.string()), ("caption", pa.string())])


def _records(path: Path) -> int:
    reader = ArrayRecordReader(str(path), options=_READING)
    try:
        return reader.num_records()
    finally:
        reader.close()


class Captions(Sequence[str]):
    """Captions in compact memory: some 60 bytes each, where a Python string takes twice that.

    Args:
      column: strings, as pyarrow has them.
    """

    def __init__(self, column: pa.ChunkedArray):
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Captions": ...
    def __getitem__(self, index: int | slice) -> "str | Captions":
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return Captions(self._column.take(pa.array(range(start, stop, step), pa.int64())))
            return Captions(self._column.slice(start, max(stop - start, 0)))
        return self._column[index].as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _ROW_GROUP):
            yield from self._column.slice(start, _ROW_GROUP).to_pylist()


class ShardedCaptions:
    """The records of an ingested folder, in order; a source of images with captions.

    Shards are opened when they are first read, in each process for itself, and at most a few
    hundred stay open. Indices run on from shard to shard: a contiguous range of them lies in a few
    files.

    Attributes:
      folder: the ingested folder.
      manifest: what it holds.

    Args:
      folder: with ``manifest.json``.

    Raises:
      FileNotFoundError: the folder or one of its shards is missing.
      ValueError: the manifest is not as expected, or a shard is of another size than it says.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        for shard in self.manifest.shards:
            file = self.folder / shard.file
            if not file.is_file():
                raise FileNotFoundError(f"{self.folder}: shard {shard.file} is missing")
            if (size := file.stat().st_size) != shard.bytes:
                raise ValueError(f"{file}: expected {shard.bytes} bytes, got {size}")
        self._ends = list(accumulate(shard.records for shard in self.manifest.shards))
        self._readers: OrderedDict[int, ArrayRecordReader] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return self.manifest.kept

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The record at an index.

        Raises:
          IndexError: there is none.
          BadRecordError: it cannot be read, or its checksum is wrong.
        """
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: record {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        shard = self.manifest.shards[number]
        place = index - (self._ends[number] - shard.records)
        name = f"{self.folder / shard.file}[{place}]"
        try:
            (data,) = self._reader(number).read([place])
        except (RuntimeError, ValueError) as error:
            raise BadRecordError(name, "unreadable record", str(error)) from error
        return decode_record(data, name=name)

    def captions(self) -> Captions:
        """All captions in the order of the records, without reading an image."""
        return Captions(self._column("caption"))

    def keys(self) -> Captions:
        """All keys in the order of the records, without reading an image."""
        return Captions(self._column("key"))

    def _column(self, name: str) -> pa.ChunkedArray:
        chunks = []
        for shard in self.manifest.shards:
            path = self.folder / shard.captions
            try:
                column = pq.read_table(path, columns=[name], memory_map=True)[name]
            except (pa.ArrowException, KeyError) as error:
                raise ValueError(f"captions {path}: cannot be read ({error})") from error
            if len(column) != shard.records:
                raise ValueError(f"captions {path}: expected {shard.records}, got {len(column)}")
            chunks += column.chunks
        return pa.chunked_array(chunks, pa.string())

    def _reader(self, number: int) -> ArrayRecordReader:
        with self._lock:
            reader = self._readers.pop(number, None)
            if reader is None:
                path = os.fspath(self.folder / self.manifest.shards[number].file)
                reader = ArrayRecordReader(path, options=_READING, file_reader_buffer_size=32768)
                if len(self._readers) >= _OPEN_SHARDS:
                    # Another thread may be reading it; it closes when the last one lets go.
                    self._readers.popitem(last=False)
            self._readers[number] = reader
            return reader

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_readers", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _readers=OrderedDict(), _lock=Lock())
