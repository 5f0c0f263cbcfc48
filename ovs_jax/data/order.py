"""Which record stands where: the order of training, a function of seed, step and slot alone.

Chance is drawn in the same way: every use of it has its own generator, made from the seed, what it
is for, and where. So nothing depends on which process, worker or thread does the work, on how many
there are, or on what was drawn before.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Int

_EPOCHS_KEPT = 3
"""Permutations kept a slice: threads build the end of one epoch and the start of the next."""


class Purpose(IntEnum):
    """What a generator is for."""

    ORDER = 1
    IMAGE = 2
    PROMPTS = 3
    ANSWER = 4
    PARTNER = 5
    CROSS_IMAGE = 6


def generator(purpose: Purpose, *where: int) -> np.random.Generator:
    """A generator of its own for one use of chance.

    Args:
      purpose: what it is for.
      where: the seed, then integers of at least 0 such as step and slot.
    """
    return np.random.default_rng((int(purpose), *where))


class _Permutations(dict[int, dict[int, Int[np.ndarray, " n"]]]):
    """By slice and epoch; every input worker draws its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _Permutations, ()


@dataclass(frozen=True)
class EpochOrder:
    """Batches of shuffled records, newly shuffled every epoch; what fills no batch is left out.

    With several slices the records are cut into as many contiguous ranges, and the slots of a batch
    into as many groups: a group draws from its own range only, so that a process which builds some
    groups reads a part of the data. Where the records do not divide evenly, an epoch has the steps
    of the shortest range.

    Attributes:
      records: how many there are to draw from.
      batch_size: records a step, over all processes.
      seed: of the shuffling.
      slices: ranges that the records are cut into.
      stream: tells the orders of several sets with the same seed apart.
    """

    records: int
    batch_size: int
    seed: int
    slices: int = 1
    stream: int = 0
    _permutations: _Permutations = field(
        default_factory=_Permutations, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {self.batch_size}")
        if self.slices < 1 or self.batch_size % self.slices:
            raise ValueError(
                f"slices: expected a divisor of batch_size {self.batch_size}, got {self.slices}"
            )
        if self.records < self.batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is more than the {self.records} usable records; "
                "expected at least one full batch an epoch"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the records."""
        return (self.records // self.slices) // (self.batch_size // self.slices)

    def bounds(self, slot: int) -> tuple[int, int]:
        """The range that a slot draws from: its first record and the one after its last."""
        return self._range(slot * self.slices // self.batch_size)

    def record(self, step: int, slot: int) -> int:
        """The record at a slot (0 to batch_size - 1) of a step (0 on)."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        share = self.batch_size // self.slices
        part, slot_in_part = divmod(slot, share)
        permutation = self._permutation(part, epoch)
        return self._range(part)[0] + int(permutation[step_in_epoch * share + slot_in_part])

    def _range(self, part: int) -> tuple[int, int]:
        return part * self.records // self.slices, (part + 1) * self.records // self.slices

    def _permutation(self, part: int, epoch: int) -> Int[np.ndarray, " n"]:
        kept = self._permutations.setdefault(part, {})
        permutation = kept.get(epoch)  # threads may draw the same one twice, which is harmless
        if permutation is None:
            first, end = self._range(part)
            alone = self.slices == 1 and self.stream == 0
            where = (self.seed, epoch) if alone else (self.seed, epoch, self.stream, part)
            numbers = np.arange(end - first, dtype=np.int32 if end - first < 2**31 else np.int64)
            permutation = kept[epoch] = generator(Purpose.ORDER, *where).permutation(numbers)
            for old in list(kept)[:-_EPOCHS_KEPT]:
                kept.pop(old, None)
        return permutation
