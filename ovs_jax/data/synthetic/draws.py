"""A cheap stream of random choices for one scene."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")
_BLOCK = 128


class Draws:
    """Random choices that depend on nothing but the integers it is made from.

    A scene needs about a hundred scalars. Numpy's generator takes microseconds for each, so uniform
    numbers are fetched in blocks, and every choice is computed from one of them.
    """

    def __init__(self, *entropy: int):
        """Starts the stream that belongs to these non-negative integers."""
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        self._block: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return low + (high - low) * self._block.pop()

    def around(self, spread: float) -> float:
        """A number in [-spread, spread)."""
        return self.uniform(-spread, spread)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def integer(self, count: int) -> int:
        """One of 0, 1, …, count - 1."""
        return int(self.uniform() * count)

    def pick(self, options: Sequence[Option]) -> Option:
        """One of the options, all equally likely."""
        return options[self.integer(len(options))]

    def shuffled(self, options: Sequence[Option]) -> list[Option]:
        """The options in random order."""
        result = list(options)
        for last in range(len(result) - 1, 0, -1):
            other = self.integer(last + 1)
            result[last], result[other] = result[other], result[last]
        return result
