"""An index of entities on disk: made once, mapped into memory by every run and every worker.

The folder holds one ``.npy`` file for each array of `pairing.EntityIndex` and ``index.json``, which
names the entities, the rule and the captions it was made from. No pickle.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.data.block_map import map_blocks
from ovs_jax.data.durable import draft_of, publish
from ovs_jax.data.entity_index import EntityBlock, Growing, Storage, collect, read_entities
from ovs_jax.data.pairing import EntityIndex
from ovs_jax.text.entities import EntityRule

FILE = "index.json"
FORMAT = 1
_ARRAYS = ("kept", "entity_starts", "entities", "place_starts", "places")
_MOST_HASHED = 2**16
_HASHED_CHARACTERS = 1000


@dataclass(frozen=True)
class MappedIndex(EntityIndex):
    """An index whose arrays lie in files.

    Input workers get the name of the folder and map the files themselves.

    Attributes:
      folder: from `write_index`.
    """

    folder: Path = Path()

    def __reduce__(self) -> tuple[Any, ...]:
        return _mapped, (self.folder,)


@dataclass
class Fingerprint:
    """Tells captions from others: their number, and a digest of those at even distances.

    All captions are digested up to 65536 of them; of more, every second, fourth and so on, so that
    the check at the start of a run takes no longer for 400 million.
    """

    count: int = 0
    _stride: int = 1
    _digests: list[bytes] = field(default_factory=list)

    def add(self, captions: Sequence[str]) -> None:
        """Adds the next captions."""
        first = -self.count % self._stride
        for number in range(first, len(captions), self._stride):
            self._digests.append(_digest(captions[number]))
        self.count += len(captions)
        while len(self._digests) > _MOST_HASHED:
            self._digests = self._digests[::2]
            self._stride *= 2

    def __str__(self) -> str:
        return (
            f"{self.count}:{hashlib.blake2b(b''.join(self._digests), digest_size=16).hexdigest()}"
        )


def fingerprint(captions: Sequence[str]) -> str:
    """The fingerprint of captions at hand; only those that count are looked at."""
    stride = 1
    while -(-len(captions) // stride) > _MOST_HASHED:
        stride *= 2
    digests = [_digest(captions[number]) for number in range(0, len(captions), stride)]
    return str(Fingerprint(len(captions), stride, digests))


def _digest(caption: str) -> bytes:
    text = caption.strip()[:_HASHED_CHARACTERS].encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).digest()


def write_index(
    captions: Iterable[Sequence[str]], rule: EntityRule, folder: str | Path, *, workers: int = 1
) -> MappedIndex:
    """Reads the entities of captions and writes the index.

    Args:
      captions: in blocks, in the order of the records; one that is no text stands as "".
      rule: decides what an entity is (`EntityRule.pairing_entities`).
      folder: the index; it must not exist. It appears when it is complete.
      workers: processes that read entities.

    Returns:
      The index, as `open_index` gives it.

    Raises:
      FileExistsError: there is something at ``folder``.
      ValueError: no caption has an entity.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"entity index {folder}: exists already; remove it or name another")
    draft = draft_of(folder)
    draft.mkdir(parents=True)
    try:
        marks = Fingerprint()
        index = collect(_entities(captions, rule, marks, workers), _InFolder(draft))
        if not len(index):
            raise ValueError(f"entity index {folder}: none of {marks.count} captions has an entity")
        description = {
            "format": FORMAT,
            "captions": marks.count,
            "fingerprint": str(marks),
            "names": index.names,
            **_described(rule),
        }
        (draft / FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        for file in draft.iterdir():
            publish(file, file)
        publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _mapped(folder)


def open_index(folder: str | Path, *, captions: Sequence[str], rule: EntityRule) -> MappedIndex:
    """Opens an index for the captions that it was made from.

    Args:
      folder: from `write_index`.
      captions: of the source that it is used with, in the order of the records.
      rule: that the run reads captions by.

    Returns:
      The index, its arrays mapped into memory. Pickled it is only the name of its folder.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: it is damaged, or was made from other captions or by another rule.
    """
    folder = Path(folder)
    stored = _description(folder)
    remedy = "make it again with 'ovs-jax data index-entities'"
    for name, own in _described(rule).items():
        if stored[name] != own:
            told = f"got '{stored[name]}', expected '{own}'" if name == "rule" else "it is another"
            raise ValueError(f"entity index {folder}: made by another {name}: {told}; {remedy}")
    if len(captions) != stored["captions"] or fingerprint(captions) != stored["fingerprint"]:
        raise ValueError(
            f"entity index {folder}: made from {stored['captions']} other captions than the "
            f"{len(captions)} of this source; {remedy}"
        )
    return _mapped(folder)


def _entities(
    captions: Iterable[Sequence[str]], rule: EntityRule, marks: Fingerprint, workers: int
) -> Iterator[EntityBlock]:
    for block, found in map_blocks(partial(read_entities, rule=rule), captions, workers=workers):
        marks.add(block)
        yield found


def _described(rule: EntityRule) -> dict[str, Any]:
    vocabulary = {
        "filter_words": list(rule.vocabulary.filter_words),
        "synonyms": dict(rule.vocabulary.synonyms),
    }
    return {"rule": rule.name, "vocabulary": vocabulary}


def _description(folder: Path) -> dict[str, Any]:
    file = folder / FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"entity index {folder}: expected a folder with {FILE}, as 'ovs-jax data "
            "index-entities' makes it"
        )
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"entity index {file}: not JSON ({error})") from error
    expected = {"format", "captions", "fingerprint", "names", "rule", "vocabulary"}
    if not isinstance(stored, dict) or not expected <= set(stored) or stored["format"] != FORMAT:
        raise ValueError(f"entity index {file}: expected format {FORMAT} with {sorted(expected)}")
    return stored


def _mapped(folder: Path) -> MappedIndex:
    """The arrays of a folder; they are not checked against captions."""
    names = tuple(_description(folder)["names"])
    arrays: dict[str, Any] = {}
    for name in _ARRAYS:
        file = folder / f"{name}.npy"
        try:
            # A plain view: slices of a memmap are slow to make.
            arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
        except (OSError, ValueError) as error:
            raise ValueError(f"entity index {file}: cannot be read ({error})") from error
    sizes = {name: len(array) for name, array in arrays.items()}
    pairs = sizes["entities"]
    expected = {
        "kept": sizes["entity_starts"] - 1,
        "places": pairs,
        "place_starts": len(names) + 1,
    }
    ends = {int(arrays[name][-1]) for name in ("entity_starts", "place_starts")}
    if any(sizes[name] != size for name, size in expected.items()) or ends != {pairs}:
        raise ValueError(f"entity index {folder}: its arrays do not fit each other: {sizes}")
    return MappedIndex(names, **arrays, folder=folder)


class _InFile(Growing):
    """Growing in a file."""

    def __init__(self, path: Path, dtype: Any):
        self._path, self._dtype, self._size = path, np.dtype(dtype), 0
        self._file = open(path, "wb")  # noqa: SIM115, closed by `array`
        self._write_header()

    def append(self, values: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self._size += len(values)

    def array(self) -> np.ndarray:
        if not self._file.closed:
            self._file.seek(0)
            self._write_header()
            self._file.close()
        if not self._size:
            return np.zeros(0, self._dtype)  # nothing cannot be mapped
        return np.load(self._path, mmap_mode="r").view(np.ndarray)

    def _write_header(self) -> None:
        # NumPy leaves room in the header for the length to grow.
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._size,)}
        np.lib.format.write_array_header_1_0(self._file, header)


class _InFolder(Storage):
    """Keeps the arrays of an index in files."""

    def __init__(self, folder: Path):
        self._folder = folder

    def growing(self, name: str, dtype: Any) -> Growing:
        return _InFile(self._folder / f"{name}.npy", dtype)

    def allocate(self, name: str, size: int, dtype: Any) -> np.ndarray:
        if not size:
            return np.empty(0, dtype)
        path = self._folder / f"{name}.npy"
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(size,))
