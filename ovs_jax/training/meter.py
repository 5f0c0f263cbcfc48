"""What a run measures about itself between two records: means, times, speed, goodput."""

import logging
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np

from ovs_jax.training.guards import Skipped
from ovs_jax.training.step import Metrics
from ovs_jax.training.writer import readable
from ovs_jax.typing import Batch

logger = logging.getLogger(__name__)

NOT_LOGGED = ("finite",)


@dataclass(frozen=True)
class Arithmetic:
    """How much the model computes, against how much the devices could.

    Attributes:
      flops: model FLOPs of a step on a global batch of given shapes.
      peak: FLOP/s of all devices together by their makers' data sheets; None where they are not
        known.
    """

    flops: Callable[[Batch], float]
    peak: float | None


class Meter:
    """Collects the metrics of steps, still on the device, and the time they took.

    Attributes:
      skipped: the newest steps in a row that had no update, as far as they are settled.
    """

    def __init__(self, *, useful: float = 0.0, arithmetic: Arithmetic | None = None) -> None:
        """Begins with nothing measured.

        Args:
          useful: seconds of useful steps in earlier lives of the run.
          arithmetic: what utilisation is computed from, if it is known.
        """
        self.skipped: list[Skipped] = []
        self._useful = useful
        self._arithmetic = arithmetic
        self._kept: list[tuple[int, Metrics]] = []
        self._settled = 0
        self._seconds: list[float] = []
        self._typical = math.nan
        self.pause()

    def pause(self) -> None:
        """Stops the clock until the next step is done: compiling and evaluating do not count."""
        self._clock: float | None = None
        self._last: float | None = None
        self._wait = 0.0
        self._images = 0
        self._flops: list[float] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as data wait."""
        start = time.perf_counter()
        yield
        self._wait += time.perf_counter() - start

    def add(self, metrics: Metrics, step: int, *, batch: Batch) -> None:
        """Adds a step that has been started."""
        self._kept.append((step, metrics))
        self._images += len(jax.tree.leaves(batch)[0])
        self._flops.append(self._arithmetic.flops(batch) if self._arithmetic else 0.0)

    def settle(self, *, newest: bool) -> list[Skipped]:
        """Waits until steps are done, and tells which of them in a row had no update.

        Args:
          newest: whether to wait for the newest step too, or only for the one before it, so that
            the host runs ahead of the devices.

        Returns:
          `skipped`, as it is now.
        """
        until = len(self._kept) - (0 if newest else 1)
        for step, metrics in self._kept[self._settled : until]:
            if bool(metrics["finite"]):  # waits
                self.skipped = []
            else:
                self._skip(step, metrics)
            now = time.perf_counter()
            if self._last is not None:
                self._seconds.append(now - self._last)
            self._last = now
        if self._clock is None and until > self._settled:
            self._clock, self._wait = time.perf_counter(), 0.0
            # What has been started and not waited for is all that falls into the time from here on.
            self._images = 0 if newest else self._images // (until - self._settled + 1)
            self._flops = [] if newest else self._flops[-1:]
        self._settled = max(self._settled, until)
        return self.skipped

    def _skip(self, step: int, metrics: Metrics) -> None:
        values = {name: float(value) for name, value in metrics.items() if name not in NOT_LOGGED}
        self.skipped = [*self.skipped, Skipped(step, values)]
        logger.warning("step %d is not finite and is skipped: %s", step, readable(values))

    def take(self) -> dict[str, float]:
        """What a record says of the steps since the last one; all of them must be settled.

        Returns:
          Means over the steps that had an update, the newest learning rate, ``skipped_steps`` if
          there were any, ``images_per_second``, ``data_wait`` (its share of the time),
          ``step_seconds/p50`` and ``p95``, ``model_flops_per_second`` and ``utilisation`` where
          they are known, ``memory/host_gib`` and ``memory/device_gib`` (most held so far), and
          ``seconds/useful``: steps of this run that had an update, each at the median time of its
          record.
        """
        fetched = jax.device_get([metrics for _, metrics in self._kept])
        finite = [metrics for metrics in fetched if metrics["finite"]]
        names = [name for name in fetched[0] if name not in NOT_LOGGED]
        values = {
            name: float(np.mean([metrics[name] for metrics in finite or fetched])) for name in names
        }
        values["learning_rate"] = float(fetched[-1]["learning_rate"])
        if len(finite) < len(fetched):
            values["skipped_steps"] = float(len(fetched) - len(finite))
        if self._clock is not None and self._images:
            values |= self._speed(time.perf_counter() - self._clock)
        if self._seconds:
            middle, slow = np.percentile(self._seconds, (50, 95))
            values |= {"step_seconds/p50": float(middle), "step_seconds/p95": float(slow)}
            self._typical = float(middle)
        if not math.isnan(self._typical):
            self._useful += self._typical * len(finite)
        values["seconds/useful"] = self._useful
        self._kept, self._settled, self._seconds, self._flops = [], 0, [], []
        self._clock = self._last = time.perf_counter()
        self._wait, self._images = 0.0, 0
        return values | memory()

    def _speed(self, seconds: float) -> dict[str, float]:
        values = {
            "images_per_second": self._images / seconds,
            "data_wait": self._wait / seconds,
        }
        flops = sum(self._flops)
        if flops:
            values["model_flops_per_second"] = flops / seconds
            if self._arithmetic is not None and self._arithmetic.peak is not None:
                values["utilisation"] = flops / seconds / self._arithmetic.peak
        return values


def memory() -> dict[str, float]:
    """The most memory held so far, in GiB: by this process, and by its first device if it tells."""
    unit = 1 if sys.platform == "darwin" else 1024
    held = {"memory/host_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        held["memory/device_gib"] = statistics["peak_bytes_in_use"] / 2**30
    return held
