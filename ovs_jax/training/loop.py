"""The training loop. There is one, for every method, and its order is fixed.

For each step:

1. take the next batch (the time this takes is the data wait) and place it on the devices;
2. start the step; nothing moves between host and devices while it is called;
3. check the step before: if its loss or gradient was not finite, stop; the last good checkpoint
   stays, nothing after it is saved;
4. every ``log_every`` steps, write the means since the last record;
5. every ``evaluate_every`` steps and at the end, evaluate and write the scores;
6. every ``checkpoint.every`` steps, after each evaluation and at the end, save a checkpoint;
7. if SIGTERM, SIGINT or the cluster asked for it, save and stop.

The host runs one step ahead of the devices, which hides reading and placing batches.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grain
import jax
import numpy as np
from tqdm import tqdm

from ovs_jax import parallel
from ovs_jax.training.resume import Checkpoints
from ovs_jax.training.state import Plan, State
from ovs_jax.training.step import Metrics
from ovs_jax.training.writer import Writer, readable
from ovs_jax.typing import Batch

logger = logging.getLogger(__name__)

COLLAPSED = 0.95
"""Mean share of an image's patches in one group above which the groups are called collapsed."""


@dataclass(frozen=True)
class LoopConfig:
    """How long to train and what to do on the way.

    Attributes:
      steps: optimizer steps of the whole run.
      log_every: steps between records.
      evaluate_every: steps between evaluations; 0 evaluates at the end only.
      save_every: steps between checkpoints.
    """

    steps: int
    log_every: int = 50
    evaluate_every: int = 0
    save_every: int = 1000

    def __post_init__(self) -> None:
        least = {"steps": 1, "log_every": 1, "save_every": 1, "evaluate_every": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(
                    f"loop.{name}: expected {smallest} or more, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes:
      values: numbers to log, by name.
      score: what the best checkpoint is chosen by; higher is better.
    """

    values: Mapping[str, float]
    score: float


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
      state: the last state.
      step: optimizer steps done.
      finished: False if it was asked to stop early.
    """

    state: State
    step: int
    finished: bool


class DivergedError(FloatingPointError):
    """A loss or gradient was not finite."""


def train(
    plan: Plan,
    step_function: Callable[[State, Batch], tuple[State, Metrics]],
    state: State,
    iterator: grain.DatasetIterator,
    *,
    config: LoopConfig,
    checkpoints: Checkpoints,
    writer: Writer,
    evaluate: Callable[[State], Scores] | None = None,
) -> Outcome:
    """Trains until the last step, or until asked to stop.

    Args:
      plan: of the state.
      step_function: from `step.make_step`.
      state: where to start; its memory is taken over.
      iterator: gives this process's part of every batch, from the state's step on.
      config: how long, and what on the way.
      checkpoints: of this run; every one written holds the iterator as it was after its last batch.
      writer: of this run.
      evaluate: scores a state.

    Returns:
      The last state, which has been saved.

    Raises:
      DivergedError: a loss or a gradient was not finite.
    """
    done = int(state["step"])
    if done >= config.steps:
        logger.info("nothing to do: step %d of %d is done", done, config.steps)
    meter, asked = _Meter(), _Asked()
    bar = tqdm(total=config.steps, initial=done, unit="step", disable=None, dynamic_ncols=True)
    with asked.listening(), bar:
        while done < config.steps:
            with meter.waiting():
                batch = next(iterator)
            rows = parallel.shard_batch(batch, plan.mesh)
            with jax.transfer_guard("disallow"):
                state, metrics = step_function(state, rows)
            done += 1
            meter.add(metrics, done, images=len(jax.tree.leaves(rows)[0]))
            last = done == config.steps
            stopping = asked.stop or checkpoints.preempted(done)
            evaluating = evaluate is not None and (last or _due(done, config.evaluate_every))
            saving = last or stopping or evaluating or _due(done, config.save_every)
            logging_now = last or _due(done, config.log_every)
            if not meter.finite(settle=saving or logging_now):
                raise _diverged(meter, checkpoints)
            bar.update()
            if logging_now:
                values = meter.take()
                writer.write(done, values)
                bar.set_postfix_str(f"loss {values['loss']:.4g}")
                _warn_of_collapse(values)
            score = None
            if evaluate is not None and evaluating:
                score = _evaluate(evaluate, state, done, writer)
                meter.pause()
            if saving:
                checkpoints.save(done, state, iterator, score=score)
            if stopping and not last:
                logger.warning("asked to stop: saved step %d of %d", done, config.steps)
                return Outcome(state, done, finished=False)
    return Outcome(state, done, finished=True)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _evaluate(
    evaluate: Callable[[State], Scores], state: State, step: int, writer: Writer
) -> float:
    start = time.perf_counter()
    scores = evaluate(state)
    seconds = {"evaluation/seconds": time.perf_counter() - start}
    named = {f"evaluation/{name}": float(value) for name, value in scores.values.items()}
    writer.write(step, named | seconds)
    return scores.score


def _diverged(meter: "_Meter", checkpoints: Checkpoints) -> DivergedError:
    step, values = meter.worst()
    kept = "no checkpoint was saved before"
    if checkpoints.latest is not None:
        kept = f"the last good checkpoint is {checkpoints.folder / str(checkpoints.latest)}"
    return DivergedError(
        f"step {step} is not finite ({readable(values)}); {kept}. Lower schedule.learning_rate, "
        "lengthen the warm-up or lower optimizer.clip_norm, then run the same command again to "
        "resume"
    )


def _warn_of_collapse(values: Mapping[str, float]) -> None:
    share = values.get("largest_group_share", 0.0)
    if share > COLLAPSED:
        logger.warning(
            "the groups have collapsed: one holds %.0f %% of an image on average. Small batches "
            "and captions with few distinct words cause this",
            100 * share,
        )


class _Meter:
    """Collects the metrics of steps, still on the device, and the time they took."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Metrics]] = []
        self._checked = 0
        self.pause()

    def pause(self) -> None:
        """Stops the clock until the next step is done: compiling and evaluating do not count."""
        self._clock: float | None = None
        self._wait = 0.0
        self._images = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as data wait."""
        start = time.perf_counter()
        yield
        self._wait += time.perf_counter() - start

    def add(self, metrics: Metrics, step: int, *, images: int) -> None:
        """Adds a step that has been started."""
        self._kept.append((step, metrics))
        self._images += images

    def finite(self, *, settle: bool) -> bool:
        """Waits for the step before the newest (or, to settle, for the newest) and checks it."""
        until = len(self._kept) - (0 if settle else 1)
        flags = [bool(metrics["finite"]) for _, metrics in self._kept[self._checked : until]]
        self._checked = max(self._checked, until)
        if self._clock is None and flags:
            self._clock, self._wait = time.perf_counter(), 0.0
            self._images = 0 if settle else self._images // max(len(flags) + 1, 1)
        return all(flags)

    def worst(self) -> tuple[int, dict[str, float]]:
        """The first step that is not finite, with its numbers."""
        step, metrics = next(item for item in self._kept if not bool(item[1]["finite"]))
        return step, {k: float(v) for k, v in metrics.items() if k != "finite"}

    def take(self) -> dict[str, float]:
        """Means since the last call, the newest learning rate, and the speed."""
        fetched = jax.device_get([metrics for _, metrics in self._kept])
        names = [name for name in fetched[0] if name != "finite"]
        values = {name: float(np.mean([metrics[name] for metrics in fetched])) for name in names}
        values["learning_rate"] = float(fetched[-1]["learning_rate"])
        if self._clock is not None and self._images:
            seconds = time.perf_counter() - self._clock
            values["images_per_second"] = self._images / seconds
            values["data_wait"] = self._wait / seconds
        self._kept, self._checked = [], 0
        self._clock, self._wait, self._images = time.perf_counter(), 0.0, 0
        return values


class _Asked:
    """Whether a signal asked the run to stop. A second signal acts as if nobody listened."""

    def __init__(self) -> None:
        self.stop = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for SIGTERM and SIGINT, if this is the main thread of a run of one process.

        With several processes the signal goes to JAX, which makes all of them stop at one step.
        """
        if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
            yield
            return
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {name: signal.getsignal(name) or signal.SIG_DFL for name in signals}

        def hear(number: int, frame: Any) -> None:
            self.stop = True
            signal.signal(number, before[signal.Signals(number)])
            logger.warning("%s: saving after this step", signal.Signals(number).name)

        for number in signals:
            signal.signal(number, hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
