"""What is kept beside converted weights, so that they can be given back as they came.

``conversion.json`` tells what became of every array; ``unused.safetensors`` has those that no part
of the model uses.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.conversion.convert import Conversion, prefixed_rules
from ovs_jax.conversion.files import File, read, write_safetensors
from ovs_jax.conversion.rules import ConversionError, Entry, select, to_foreign
from ovs_jax.conversion.sources import SOURCES
from ovs_jax.mapping import lookup
from ovs_jax.nn import functional

RECORD = "conversion.json"
UNUSED = "unused.safetensors"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """Where converted weights came from.

    Attributes:
      source: name of the kind.
      prefix: what stood before all foreign names.
      files: what was read.
      beside: what stood beside the weights and was left out.
      entries: what became of every array of the source, in its order.
    """

    source: str
    prefix: str
    files: tuple[File, ...]
    beside: tuple[str, ...]
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, conversion: Conversion) -> "Record":
        """The record of a conversion."""
        return cls(
            conversion.source.name,
            conversion.prefix,
            conversion.files,
            conversion.beside,
            conversion.entries,
        )


def write_record(folder: Path, conversion: Conversion) -> None:
    """Writes the record of a conversion, and its unused arrays, into a folder."""
    content = {"version": _VERSION, **asdict(Record.of(conversion))}
    (folder / RECORD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if conversion.unused:
        write_safetensors(folder / UNUSED, conversion.unused)


def read_record(folder: Path) -> Record | None:
    """The record in a folder; None where there is none.

    Raises:
      ValueError: it is damaged, or of another version.
    """
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ValueError(f"got version {content['version']}, expected {_VERSION}")
        return Record(
            source=content["source"],
            prefix=content["prefix"],
            files=tuple(_row(File, row) for row in content["files"]),
            beside=tuple(content["beside"]),
            entries=tuple(_row(Entry, row) for row in content["entries"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: not a record of a conversion ({error})") from error


def _row(kind: type, values: Mapping[str, Any]) -> Any:
    """A flat dataclass from JSON, where tuples have become lists."""
    given = {item.name: values[item.name] for item in fields(kind)}
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in given.items()})


def restore(
    record: Record, weights: functional.Tree, unused: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Gives weights back under the names, shapes and dtypes that they came with.

    Bit for bit what was converted, if the weights have not been trained since.

    Args:
      record: of the conversion.
      weights: ``{"params", "stats"}``.
      unused: the arrays that are in no model, from `read_unused`.

    Returns:
      Foreign names and arrays, in the order of the source.

    Raises:
      ConversionError: the weights or the unused arrays are not those of the record.
    """
    source = lookup(SOURCES, record.source, what="source")
    rules = select(prefixed_rules(source, record.prefix), [e.name for e in record.entries])
    found = {**unused}
    for part in weights.values():
        found |= to_foreign(part, rules)
    names = [entry.name for entry in record.entries]
    problems = [f"{name}: nothing gives it" for name in names if name not in found]
    problems += [f"{name}: was not in the source" for name in found if name not in names]
    if problems:
        raise ConversionError.of(problems, what=f"the export to {record.source}")
    return {
        entry.name: found[entry.name].reshape(entry.shape).astype(_dtype(entry.dtype), copy=False)
        for entry in record.entries
    }


def _dtype(name: str) -> np.dtype:
    import ml_dtypes  # registers bfloat16 with numpy

    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def read_unused(folder: Path) -> dict[str, np.ndarray]:
    """The unused arrays beside converted weights."""
    file = folder / UNUSED
    return dict(read(file).state) if file.is_file() else {}
