"""Partners for the cross-image task: another image whose caption shares an entity.

OVSegmentor (CVPR 2023), section 3.4. The original drew ten partners for every caption beforehand;
an inverted index gives any number, from a few integers a caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64

from ovs_jax.text.entities import EntityRule


@dataclass(frozen=True)
class EntityIndex:
    """Which captions have which entities, and the reverse, as compressed sparse rows.

    Captions without an entity are left out: a *place* counts those that are kept, in their order.

    Attributes:
      names: the distinct entities.
      kept: the record index of every place, ascending.
      entity_starts: where the entities of a place begin in ``entities``; one more at the end.
      entities: ids into ``names``.
      place_starts: where the places of an entity begin in ``places``; one more at the end.
      places: ascending within an entity.
    """

    names: tuple[str, ...]
    kept: Int64[np.ndarray, " kept"] = field(repr=False)
    entity_starts: Int64[np.ndarray, " kept_1"] = field(repr=False)
    entities: Int32[np.ndarray, " pairs"] = field(repr=False)
    place_starts: Int64[np.ndarray, " names_1"] = field(repr=False)
    places: Int32[np.ndarray, " pairs"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.kept)

    def entities_of(self, place: int) -> tuple[str, ...]:
        """The entities of the caption at a place."""
        return tuple(self.names[entity] for entity in self._row(place))

    def places_of(self, name: str) -> Int32[np.ndarray, " found"]:
        """The places whose captions have an entity, ascending.

        Raises:
          ValueError: no caption has it.
        """
        if name not in self.names:
            raise ValueError(f"entity '{name}' is in no caption")
        return self._column(self.names.index(name))

    def partner(self, place: int, rng: np.random.Generator) -> tuple[int, str]:
        """Draws a partner for the caption at a place.

        First one of its entities that another caption has too, then one of those other captions,
        both uniformly. A caption that shares none of its entities is its own partner: the two crops
        of one image are still two views of the same thing.

        Args:
          place: which caption.
          rng: the only source of chance.

        Returns:
          The place of the partner and the entity that both share.
        """
        own = self._row(place)
        counts = self.place_starts[own + 1] - self.place_starts[own]
        shared = own[counts > 1]
        if not len(shared):
            return place, self.names[own[rng.integers(len(own))]]
        entity = shared[rng.integers(len(shared))]
        others = self._column(entity)
        drawn = int(rng.integers(len(others) - 1))
        drawn += drawn >= np.searchsorted(others, place)  # steps over the caption itself
        return int(others[drawn]), self.names[entity]

    @property
    def alone(self) -> int:
        """How many captions are their own partners."""
        counts = np.diff(self.place_starts)
        rows = np.repeat(np.arange(len(self)), np.diff(self.entity_starts))
        return len(self) - len(np.unique(rows[counts[self.entities] > 1]))

    def _row(self, place: int) -> Int32[np.ndarray, " own"]:
        return self.entities[self.entity_starts[place] : self.entity_starts[place + 1]]

    def _column(self, entity: int | np.integer) -> Int32[np.ndarray, " found"]:
        return self.places[self.place_starts[entity] : self.place_starts[entity + 1]]


def index_entities(captions: Sequence[str], rule: EntityRule) -> EntityIndex:
    """Reads the entities of all captions.

    Args:
      captions: one a record.
      rule: decides what an entity is (`EntityRule.pairing_entities`).

    Returns:
      The index; empty if no caption has an entity.
    """
    ids: dict[str, int] = {}
    kept: list[int] = []
    counts: list[int] = []
    found: list[int] = []
    for index, caption in enumerate(captions):
        names = rule.pairing_entities(caption)
        if names:
            kept.append(index)
            counts.append(len(names))
            found += [ids.setdefault(name, len(ids)) for name in names]
    entities = np.asarray(found, np.int32)
    places = np.repeat(np.arange(len(kept), dtype=np.int32), counts)
    order = np.argsort(entities, kind="stable")  # stable: the places of an entity stay ascending
    per_entity = np.bincount(entities, minlength=len(ids))
    return EntityIndex(
        names=tuple(ids),
        kept=np.asarray(kept, np.int64),
        entity_starts=_starts(np.asarray(counts, np.int64)),
        entities=entities,
        place_starts=_starts(per_entity),
        places=places[order],
    )


def _starts(counts: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n_1"]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
