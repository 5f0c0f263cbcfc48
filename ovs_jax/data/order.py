"""Which record stands where: the order of training, a function of seed, step and slot alone.

Chance is drawn in the same way: every use of it has its own generator, made from the seed, what it
is for, and where. So nothing depends on which process, worker or thread does the work, on how many
there are, or on what was drawn before.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
from jaxtyping import Int32


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


@lru_cache(maxsize=2)
def _permutation(records: int, seed: int, epoch: int) -> Int32[np.ndarray, " records"]:
    return generator(Purpose.ORDER, seed, epoch).permutation(np.arange(records, dtype=np.int32))


@dataclass(frozen=True)
class EpochOrder:
    """Batches of shuffled records, newly shuffled every epoch; what fills no batch is left out.

    Attributes:
      records: how many there are to draw from.
      batch_size: records a step, over all processes.
      seed: of the shuffling.
    """

    records: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {self.batch_size}")
        if self.records < self.batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is more than the {self.records} usable records; "
                "expected at least one full batch an epoch"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the records."""
        return self.records // self.batch_size

    def record(self, step: int, slot: int) -> int:
        """The record at a slot (0 to batch_size - 1) of a step (0 on)."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        permutation = _permutation(self.records, self.seed, epoch)
        return int(permutation[step_in_epoch * self.batch_size + slot])
