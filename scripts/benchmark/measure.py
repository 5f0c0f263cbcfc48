"""Timing: repeats of one thing, or of several in turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Wall-clock seconds of every repeat, warm-up left out."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        return min(self.seconds)


def in_turn(
    runs: Mapping[str, Callable[[], None]], *, warm_up: int, repeats: int
) -> dict[str, Times]:
    """Times several things A B A B …, so that whatever else the machine does meets all of them.

    Args:
      runs: each blocks until its work is done.
      warm_up: untimed rounds.
      repeats: timed rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(warm_up + repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if index >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def ratios(one: Times, other: Times) -> tuple[float, float, float]:
    """``one / other`` within each round: the median, the least and the largest."""
    values = [a / b for a, b in zip(one.seconds, other.seconds, strict=True)]
    return statistics.median(values), min(values), max(values)
