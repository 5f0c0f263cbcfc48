"""Partners for the cross-image task: another image whose caption shares an entity.

OVSegmentor (CVPR 2023), section 3.4. The original drew ten partners for every caption beforehand;
an inverted index gives any number, from a few integers a caption. `ovs_jax.data.entity_index` makes
one, `ovs_jax.data.index_files` keeps it on disk.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int, Int32, Int64


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
    places: Int[np.ndarray, " pairs"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.kept)

    def entities_of(self, place: int) -> tuple[str, ...]:
        """The entities of the caption at a place."""
        return tuple(self.names[entity] for entity in self._row(place))

    def places_of(self, name: str) -> Int[np.ndarray, " found"]:
        """The places whose captions have an entity, ascending.

        Raises:
          ValueError: no caption has it.
        """
        if name not in self.names:
            raise ValueError(f"entity '{name}' is in no caption")
        return self._column(self.names.index(name))

    def partner(
        self, place: int, rng: np.random.Generator, *, within: tuple[int, int] | None = None
    ) -> tuple[int, str]:
        """Draws a partner for the caption at a place.

        First one of its entities that another caption has too, then one of those other captions,
        both uniformly. A caption that shares none of its entities is its own partner: the two crops
        of one image are still two views of the same thing.

        Args:
          place: which caption.
          rng: the only source of chance.
          within: the first place that may be drawn and the one after the last; all if None. It
            includes ``place``.

        Returns:
          The place of the partner and the entity that both share.
        """
        own = self._row(place)
        begins, ends = self.place_starts[own], self.place_starts[own + 1]
        if within is not None and within != (0, len(self)):
            columns = [self._column(entity) for entity in own]
            ends = begins + [self._before(column, within[1]) for column in columns]
            begins = begins + [self._before(column, within[0]) for column in columns]
        shared = np.flatnonzero(ends - begins > 1)
        if not len(shared):
            return place, self.names[own[rng.integers(len(own))]]
        chosen = shared[rng.integers(len(shared))]
        others = self.places[begins[chosen] : ends[chosen]]
        drawn = int(rng.integers(len(others) - 1))
        drawn += drawn >= self._before(others, place)  # steps over the caption itself
        return int(others[drawn]), self.names[own[chosen]]

    @property
    def alone(self) -> int:
        """How many captions are their own partners, where all others may be drawn."""
        single = np.diff(self.place_starts) == 1
        # Only a caption with an entity of no other caption can be alone: few are.
        candidates = np.unique(self.places[self.place_starts[:-1][single]])
        return sum(bool(single[self._row(place)].all()) for place in candidates.tolist())

    def _before(self, column: Int[np.ndarray, " found"], place: int) -> int:
        """How many places of an entity lie before a place."""
        # A number of another type would have the whole column converted first.
        return int(np.searchsorted(column, self.places.dtype.type(place)))

    def _row(self, place: int) -> Int32[np.ndarray, " own"]:
        return self.entities[self.entity_starts[place] : self.entity_starts[place + 1]]

    def _column(self, entity: int | np.integer) -> Int[np.ndarray, " found"]:
        return self.places[self.place_starts[entity] : self.place_starts[entity + 1]]
