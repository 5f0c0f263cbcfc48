"""Tar files in the layout of WebDataset, as img2dataset writes them; nothing is unpacked to disk.

Members of the same name up to the first dot of the file name make one entry, such as
``000000012.jpg``, ``000000012.txt`` and ``000000012.json``; they stand next to each other.
"""

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ovs_jax.data.ingest.entries import MAX_IMAGE_BYTES, Entry
from ovs_jax.data.ingest.readers import Part, is_machine_fault, numbered
from ovs_jax.data.sources import IMAGE_SUFFIXES

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
BROKEN = "broken tar"
_TEXT_SUFFIX, _JSON_SUFFIX = ".txt", ".json"
_FAULTS = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True)
class TarReader:
    """Reads tar files; each is a part.

    The caption of an entry is its ``.txt`` member, or else the caption field of its ``.json``
    member, or else that of the Parquet file beside the tar, where img2dataset puts its metadata.

    Attributes:
      files: the tar files.
      caption_column: the field of the caption in JSON and Parquet.
    """

    files: tuple[Path, ...]
    caption_column: str

    def parts(self) -> list[Part]:
        """One for each tar file."""
        return numbered([((str(file), file.stat().st_size), None) for file in self.files])

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of a tar file.

        What comes after a break cannot be read; the break counts as one entry.

        Raises:
          OSError: the file has vanished, or the machine cannot read it.
        """
        path = Path(part.place[0])
        captions = _Metadata(path, self.caption_column)
        group: dict[str, bytes | None] = {}
        faults: dict[str, str] = {}
        current = None
        try:
            for name, data in _members(path):
                key, suffix = _split(name)
                if key != current:
                    if current is not None and _of_use(group):
                        yield self._entry(path, current, group, faults, captions)
                    current, group, faults = key, {}, {}
                if suffix in group and (suffix in IMAGE_SUFFIXES or suffix == _TEXT_SUFFIX):
                    faults[suffix] = "member given twice"
                group[suffix] = data
                if data is None:
                    faults[suffix] = "file too large"
        except _FAULTS as error:
            if is_machine_fault(error):
                raise
            if current is not None and _whole(group):
                yield self._entry(path, current, group, faults, captions)
            yield Entry(f"{path.name}/{current or ''}", None, fault=BROKEN, detail=str(error))
            return
        if current is not None and _of_use(group):
            yield self._entry(path, current, group, faults, captions)

    def _entry(
        self,
        path: Path,
        key: str,
        group: dict[str, bytes | None],
        faults: dict[str, str],
        captions: "_Metadata",
    ) -> Entry:
        name = f"{path.name}/{key}"
        if faults:
            suffix, fault = next(iter(faults.items()))
            return Entry(name, None, fault=fault, detail=key + suffix)
        image = next((group[suffix] for suffix in IMAGE_SUFFIXES if suffix in group), None)
        if _TEXT_SUFFIX in group:
            return Entry(name, image, (group[_TEXT_SUFFIX],))
        if (text := group.get(_JSON_SUFFIX)) is not None:
            try:
                fields = json.loads(text)
            except ValueError as error:
                return Entry(name, None, fault="member is not JSON", detail=str(error))
            if isinstance(fields, dict) and self.caption_column in fields:
                return Entry(name, image, (fields[self.caption_column],))
        return Entry(name, image, (captions.find(key),))


def tar_files(folder: Path) -> list[Path]:
    """The tar files in a folder, in order of their names."""
    return sorted(file for file in folder.iterdir() if is_tar(file))


def is_tar(path: Path) -> bool:
    """Whether the name of a file says that it is a tar."""
    return path.name.lower().endswith(TAR_SUFFIXES) and path.is_file()


def _members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents of the plain files in a tar; None in place of one that is too large.

    Raises:
      tarfile.TarError, OSError, EOFError, zlib.error, ValueError: the tar is broken at this point.
    """
    with _opened(path) as file, closing(tarfile.open(fileobj=file, mode="r:")) as tar:
        while (member := tar.next()) is not None:
            # Otherwise it remembers all of them.
            tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
            if not member.isreg() or member.issparse():
                continue
            if member.size > MAX_IMAGE_BYTES:
                yield member.name, None
                continue
            content = tar.extractfile(member)
            data = b"" if content is None else content.read()
            if len(data) != member.size:
                raise tarfile.ReadError(f"{member.name}: {len(data)} of {member.size} bytes")
            yield member.name, data
        # tarfile takes a header that it cannot read for the end; the true end is a block of zeros.
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no end of archive at byte {tar.offset}")
        if isinstance(file, gzip.GzipFile):
            while file.read(2**20):  # to the checksum
                pass


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.GzipFile(path) if path.name.lower().endswith("gz") else open(path, "rb")


def _split(name: str) -> tuple[str, str]:
    """Key and suffix of a member: ``a/b.c.jpg`` gives ``a/b`` and ``.c.jpg``."""
    path = PurePosixPath(name)
    stem, dot, suffix = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, (dot + suffix).lower()


def _of_use(group: dict[str, bytes | None]) -> bool:
    """Whether a group has anything to do with an image and its caption."""
    return any(suffix in (*IMAGE_SUFFIXES, _TEXT_SUFFIX, _JSON_SUFFIX) for suffix in group)


def _whole(group: dict[str, bytes | None]) -> bool:
    return _TEXT_SUFFIX in group and any(suffix in IMAGE_SUFFIXES for suffix in group)


class _Metadata:
    """The captions in the Parquet file beside a tar, read when one is first asked for."""

    def __init__(self, tar: Path, column: str):
        self._path = tar.with_name(tar.name.split(".")[0] + ".parquet")
        self._column = column

    def find(self, key: str) -> Any:
        return self._captions.get(PurePosixPath(key).name)

    @cached_property
    def _captions(self) -> dict[str, Any]:
        if not self._path.is_file():
            return {}
        try:
            table = pq.read_table(self._path, columns=["key", self._column])
            return dict(zip(table["key"].to_pylist(), table[self._column].to_pylist(), strict=True))
        except (pa.ArrowException, KeyError, OSError):
            return {}  # then the captions are missing, which is told of each entry
