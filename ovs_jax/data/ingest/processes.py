"""Parts done in several processes, their reports given in order."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from threading import Thread
from typing import Any, Protocol, runtime_checkable

from ovs_jax.data.ingest.readers import Part
from ovs_jax.data.ingest.work import PartReport, Work

_AHEAD = 2  # parts a worker that wait for it or for their turn
_LOOK_EVERY = 0.2  # seconds


@runtime_checkable
class DoParts(Protocol):
    """A way of doing parts, such as `reports_in_order`."""

    def __call__(
        self, work: Work, parts: Sequence[Part], *, count: Callable[[int], Any]
    ) -> Iterator[PartReport]:
        """Does parts and gives their reports in order."""
        ...


def reports_in_order(
    work: Work, parts: Sequence[Part], *, count: Callable[[int], Any]
) -> Iterator[PartReport]:
    """Does parts, each in one of ``work.options.workers`` processes.

    Args:
      work: what is to be done.
      parts: in the order of their reports.
      count: is told from time to time how many more entries have been read.

    Yields:
      The reports.

    Raises:
      OSError: a worker could not write, or has died.
    """
    workers = min(work.options.workers, len(parts))
    if workers <= 1:
        for part in parts:
            yield work.do(part, count=count)
        return
    # Processes that are forked from one with threads, such as this one may be, can hang.
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    seen = 0
    executor = ProcessPoolExecutor(workers, context, _begin, (work, counter, stop))
    try:
        waiting: deque[Future[PartReport]] = deque()
        rest = iter(parts)
        for _ in parts:
            while len(waiting) < _AHEAD * workers and (part := next(rest, None)) is not None:
                waiting.append(executor.submit(_do, part))
            future = waiting.popleft()
            ready = False
            while not ready:
                ready = bool(wait([future], _LOOK_EVERY).done)
                now = counter.value
                count(now - seen)
                seen = now
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError(
            "a worker was ended from outside, perhaps for want of memory; go on with --resume"
        ) from error
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


_job: tuple[Work, Callable[[int], None]]
"""What this worker does, and how it tells of its progress."""


def _begin(work: Work, counter: Any, stop: Any) -> None:
    """Prepares a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process tells it to stop
    Thread(target=_end_with_parent, daemon=True).start()

    def count(entries: int) -> None:
        if stop.is_set():
            raise InterruptedError("told to stop")
        with counter.get_lock():
            counter.value += entries

    global _job
    _job = work, count


def _end_with_parent() -> None:
    """A worker whose first process was killed must not go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _do(part: Part) -> PartReport:
    work, count = _job
    return work.do(part, count=count)
