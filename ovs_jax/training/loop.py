"""The training loop. There is one, for every method, and its order is fixed.

For each step:

1. take the next batch (the time this takes is the data wait) and place it on the devices;
2. start the step; nothing moves between host and devices while it is called;
3. check the step before: where its loss or gradient was not finite it has had no update; after too
   many such steps in a row stop, with the last good checkpoint as it is;
4. every ``log_every`` steps, write the means since the last record;
5. every ``evaluate_every`` steps and at the end, evaluate and write the scores;
6. every ``checkpoint.every`` steps, after each evaluation and at the end, save a checkpoint; while
   steps are being skipped only at the end and if asked to stop;
7. every ``guards.checksum_every`` steps, before anything is saved, compare the copies of the
   parameters;
8. if SIGTERM, SIGINT or the cluster asked for it, save and stop.

The host runs one step ahead of the devices: while they compute a step, the next batch is read and
copied to them.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grain
import jax
from tqdm import tqdm

from ovs_jax import parallel
from ovs_jax.training import guards
from ovs_jax.training.guards import GuardConfig
from ovs_jax.training.meter import Arithmetic, Meter
from ovs_jax.training.resume import Checkpoints
from ovs_jax.training.state import Plan, State
from ovs_jax.training.step import Metrics
from ovs_jax.training.trace import Trace
from ovs_jax.training.writer import Writer
from ovs_jax.typing import Batch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopConfig:
    """How long to train and what to do on the way.

    Attributes:
      steps: optimizer steps of the whole run.
      log_every: steps between records.
      evaluate_every: steps between evaluations; 0 evaluates at the end only.
      save_every: steps between checkpoints.
      guards: when to give up.
      profile: where a trace of a few steps goes; None for no trace.
    """

    steps: int
    log_every: int = 50
    evaluate_every: int = 0
    save_every: int = 1000
    guards: GuardConfig = field(default_factory=GuardConfig)
    profile: Path | None = None

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
      interrupted: whether it was asked by SIGINT, as Ctrl-C sends it.
    """

    state: State
    step: int
    finished: bool
    interrupted: bool = False


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
    arithmetic: Arithmetic | None = None,
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
      arithmetic: of a step, for the log.

    Returns:
      The last state, which has been saved.

    Raises:
      guards.DivergedError: too many steps in a row had a loss or gradient that was not finite.
      guards.DesynchronisedError: the copies of the parameters differ.
    """
    done = int(state["step"])
    if done >= config.steps:
        logger.info("nothing to do: step %d of %d is done", done, config.steps)
    meter, asked = Meter(useful=writer.life.useful, arithmetic=arithmetic), _Asked()
    compare, trace = guards.make_comparison(plan), Trace(config.profile, first=done)
    bar = tqdm(total=config.steps, initial=done, unit="step", disable=None, dynamic_ncols=True)
    with asked.listening(), trace, bar:
        while done < config.steps:
            with meter.waiting():
                batch = next(iterator)
            rows = parallel.shard_batch(batch, plan.mesh)
            with jax.transfer_guard("disallow"):
                state, metrics = step_function(state, rows)
            done += 1
            meter.add(metrics, done, batch=rows)
            last = done == config.steps
            stopping = asked.stop or checkpoints.preempted(done)
            evaluating = evaluate is not None and (last or _due(done, config.evaluate_every))
            saving = last or stopping or evaluating or _due(done, config.save_every)
            logging_now = last or _due(done, config.log_every)
            comparing = _due(done, config.guards.checksum_every)
            newest = saving or logging_now or comparing or trace.due(done)
            skipped = meter.settle(newest=newest)
            if len(skipped) > config.guards.most_skipped:
                raise guards.diverged(skipped, saved=checkpoints.latest_folder)
            trace.after(done)
            bar.update()
            if logging_now:
                values = meter.take()
                writer.write(done, values)
                bar.set_postfix_str(f"loss {values['loss']:.4g}")
                guards.warn_of_collapse(values)
            if comparing:
                compare(state, done)
            score = None
            if evaluate is not None and evaluating:
                score = _evaluate(evaluate, state, done, writer)
                meter.pause()
            if saving and (last or stopping or not skipped):
                checkpoints.save(done, state, iterator, score=score)
            if stopping and not last:
                logger.warning("asked to stop: saved step %d of %d", done, config.steps)
                return Outcome(state, done, finished=False, interrupted=asked.interrupted)
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


class _Asked:
    """Whether a signal asked the run to stop. A second signal acts as if nobody listened."""

    def __init__(self) -> None:
        self.stop = False
        self.interrupted = False

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
            self.interrupted = number == signal.SIGINT
            signal.signal(number, before[signal.Signals(number)])
            logger.warning("%s: saving after this step", signal.Signals(number).name)

        for number in signals:
            signal.signal(number, hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
