"""Reads what `ovs_jax.data.benchmarks.builder` wrote: ArrayRecord through ``tensorflow-datasets``.

Nothing is decoded on reading; records have the bytes that were stored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = "1.0.0"
INFO = "dataset_info.json"
INCOMPLETE = "incomplete."
"""How the names of folders begin that are still being written, here and in the library."""


@dataclass(frozen=True)
class PreparedFolder:
    """A prepared data set, as its own description has it.

    Attributes:
      folder: the one with ``dataset_info.json``.
      view: its name, which is what its labels mean.
      splits: how many records each split has.
    """

    folder: Path
    view: str
    splits: dict[str, int]


@dataclass(frozen=True)
class PreparedRecords:
    """The records of one split, opened at the first use in each process.

    Attributes:
      prepared: the data set.
      split: which of its splits.
    """

    prepared: PreparedFolder
    split: str
    _opened: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        return self.prepared.splits[self.split]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image and either the encoded label map or ``label_index``; and the key."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.prepared.folder}: expected 0 to {len(self) - 1}, got {index}")
        if not self._opened:
            self._opened.append(_open(self))
        stored = self._opened[0][index]
        record = {**stored, "key": stored["key"].decode()}
        if "label" in record:
            record["label_key"] = stored["label_key"].decode()
        else:
            record["label_index"] = int(stored["label_index"])
        return record

    def __getstate__(self) -> dict[str, Any]:
        return {"prepared": self.prepared, "split": self.split, "_opened": []}


def _open(records: PreparedRecords) -> Any:
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(str(records.prepared.folder))
    encoded = [name for name in ("image", "label") if name in builder.info.features]
    return builder.as_data_source(
        split=records.split, decoders={name: tfds.decode.SkipDecoding() for name in encoded}
    )


def find_prepared(root: Path, views: Sequence[str]) -> PreparedFolder | None:
    """A prepared data set at or below a folder.

    Args:
      root: what ``ovs-jax data prepare`` was given as ``--out``, or a folder on the way from there
        to the data.
      views: the names that will do, the preferred one first.

    Returns:
      The first that is there, None where there is none.

    Raises:
      ValueError: the root is the folder of another data set, or of one that was not finished.
    """
    own = read_info(root)
    if own is not None:
        if own.view not in views:
            raise ValueError(f"prepared data {root}: expected {' or '.join(views)}, got {own.view}")
        return own
    for view in views:
        for below in (f"{view}/{VERSION}", VERSION):
            found = read_info(root / below)
            if found is not None and found.view == view:
                return found
    return None


def read_info(folder: Path) -> PreparedFolder | None:
    """What a folder with a prepared data set says of itself; None where it is none.

    Raises:
      ValueError: its description cannot be read, or the folder is of an interrupted preparation.
    """
    file = folder / INFO
    if not file.is_file():
        return None
    if any(part.startswith(INCOMPLETE) for part in folder.absolute().parts[-3:]):
        raise ValueError(f"prepared data {folder}: its preparation was not finished")
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
        return PreparedFolder(
            folder,
            info["name"],
            {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"prepared data {file}: expected a description with name and splits "
            f"({type(error).__name__}: {error})"
        ) from error


def open_prepared(prepared: PreparedFolder, split: str) -> PreparedRecords:
    """Opens one split.

    Raises:
      ValueError: there is no such split, or it is empty.
    """
    if not prepared.splits.get(split):
        raise ValueError(
            f"prepared data {prepared.folder}: split '{split}' is not there; found "
            f"{sorted(prepared.splits)}"
        )
    return PreparedRecords(prepared, split)
