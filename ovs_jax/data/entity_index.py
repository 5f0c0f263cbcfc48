"""Making an index of entities from captions, block by block.

Blocks can be read in any process; nothing of a caption is kept but a few integers, in memory or
where else a `Storage` puts them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Int32, Int64

from ovs_jax.data.pairing import EntityIndex
from ovs_jax.text.entities import EntityRule

BLOCK = 20_000
"""Captions that are read at a time."""


@dataclass(frozen=True)
class EntityBlock:
    """The entities of consecutive captions.

    Attributes:
      captions: how many captions were read.
      names: the distinct entities, by first appearance.
      kept: which of the captions have any, ascending.
      counts: how many each of those has.
      entities: ids into ``names``, caption after caption.
    """

    captions: int
    names: tuple[str, ...]
    kept: Int64[np.ndarray, " kept"]
    counts: Int64[np.ndarray, " kept"]
    entities: Int32[np.ndarray, " pairs"]


def read_entities(captions: Sequence[str], rule: EntityRule) -> EntityBlock:
    """Reads the entities of a block of captions (`EntityRule.pairing_entities`)."""
    ids: dict[str, int] = {}
    kept: list[int] = []
    counts: list[int] = []
    found: list[int] = []
    for number, caption in enumerate(captions):
        names = rule.pairing_entities(caption)
        if names:
            kept.append(number)
            counts.append(len(names))
            found += [ids.setdefault(name, len(ids)) for name in names]
    return EntityBlock(
        len(captions),
        tuple(ids),
        np.asarray(kept, np.int64),
        np.asarray(counts, np.int64),
        np.asarray(found, np.int32),
    )


class Growing:
    """An array whose length is not known yet, in memory."""

    def __init__(self, dtype: Any):
        self._parts: list[np.ndarray] = [np.zeros(0, dtype)]

    def append(self, values: np.ndarray) -> None:
        """Adds values at the end."""
        self._parts.append(values)

    def array(self) -> np.ndarray:
        """The whole; nothing can be added after it."""
        return np.concatenate(self._parts)


class Storage:
    """Where the arrays of an index come to lie: in memory."""

    def growing(self, name: str, dtype: Any) -> Growing:
        """A new array, to be filled from its beginning."""
        del name
        return Growing(dtype)

    def allocate(self, name: str, size: int, dtype: Any) -> np.ndarray:
        """A new array, to be filled in any order."""
        del name
        return np.empty(size, dtype)


def collect(blocks: Iterable[EntityBlock], storage: Storage) -> EntityIndex:
    """Puts blocks together to an index; besides the storage it takes memory for a block only.

    Args:
      blocks: of all captions, in order.
      storage: of the arrays.

    Returns:
      The index; empty if no caption has an entity.
    """
    kept, starts = storage.growing("kept", np.int64), storage.growing("entity_starts", np.int64)
    entities = storage.growing("entities", np.int32)
    starts.append(np.zeros(1, np.int64))
    ids: dict[str, int] = {}
    captions = pairs = 0
    for block in blocks:
        own = np.asarray([ids.setdefault(name, len(ids)) for name in block.names], np.int32)
        kept.append(block.kept + captions)
        starts.append(pairs + np.cumsum(block.counts))
        entities.append(own[block.entities])
        captions += block.captions
        pairs += len(block.entities)
    rows, row_starts = entities.array(), starts.array()
    columns, column_starts = _transposed(row_starts, rows, len(ids), storage)
    return EntityIndex(tuple(ids), kept.array(), row_starts, rows, column_starts, columns)


def index_entities(captions: Sequence[str], rule: EntityRule) -> EntityIndex:
    """Reads the entities of all captions into memory.

    Args:
      captions: one a record.
      rule: decides what an entity is (`EntityRule.pairing_entities`).

    Returns:
      The index; empty if no caption has an entity.
    """
    firsts = range(0, len(captions), BLOCK)
    blocks = (read_entities(captions[first : first + BLOCK], rule) for first in firsts)
    return collect(blocks, Storage())


def _transposed(
    row_starts: Int64[np.ndarray, " rows_1"],
    entities: Int32[np.ndarray, " pairs"],
    names: int,
    storage: Storage,
) -> tuple[Int[np.ndarray, " pairs"], Int64[np.ndarray, " names_1"]]:
    """The places of every entity, and where each entity's begin."""
    rows = len(row_starts) - 1
    per_entity = np.zeros(names, np.int64)
    for first in range(0, len(entities), 50 * BLOCK):
        per_entity += np.bincount(entities[first : first + 50 * BLOCK], minlength=names)
    column_starts = storage.allocate("place_starts", names + 1, np.int64)
    column_starts[0] = 0
    np.cumsum(per_entity, out=column_starts[1:])
    dtype = np.int32 if rows < 2**31 else np.int64
    places = storage.allocate("places", len(entities), dtype)
    filled = np.array(column_starts[:-1])
    for first in range(0, rows, 10 * BLOCK):
        starts = row_starts[first : first + 10 * BLOCK + 1]
        own = entities[starts[0] : starts[-1]]
        numbers = np.repeat(np.arange(first, first + len(starts) - 1, dtype=dtype), np.diff(starts))
        # A stable sort: the places of an entity stay ascending.
        numbers = numbers[np.argsort(own, kind="stable")]
        counts = np.bincount(own, minlength=names)
        ends = np.cumsum(counts)
        for entity in np.flatnonzero(counts):
            count, end = counts[entity], ends[entity]
            places[filled[entity] : filled[entity] + count] = numbers[end - count : end]
        filled += counts
    return places, column_starts
