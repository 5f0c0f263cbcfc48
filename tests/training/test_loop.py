"""The loop: its order, its records, and how it ends."""

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import pytest

from ovs_jax.training import loop
from ovs_jax.training import state as states
from ovs_jax.training.loop import DivergedError, LoopConfig, Scores
from ovs_jax.training.step import StepConfig, make_step
from ovs_jax.training.writer import FILE, Writer
from tests.training.stand_in import batch, make_plan, objective, open_run

ROWS = 8


def batches(fault: Callable[[int, Any], Any] | None = None) -> grain.DatasetIterator:
    """Batches by step; ``fault`` may change them."""

    def make(step: int) -> Any:
        rows = batch(ROWS, seed=step)
        return fault(step, rows) if fault else rows

    return iter(grain.MapDataset.range(1000).map(make).to_iter_dataset())


def train(
    folder: Path,
    iterator: grain.DatasetIterator,
    *,
    steps: int = 6,
    evaluate: Callable[[states.State], Scores] | None = None,
    **config: Any,
) -> loop.Outcome:
    plan = make_plan((2, 1, 1))
    checkpoints = open_run(folder)
    state = checkpoints.restore(plan, iterator)
    state = states.scratch(plan, 0) if state is None else state
    writer = Writer(folder, step=int(state["step"]), steps=steps)
    settings = {"log_every": 2, "save_every": 100} | config
    try:
        return loop.train(
            plan,
            make_step(plan, objective, StepConfig()),
            state,
            iterator,
            config=LoopConfig(steps=steps, **settings),
            checkpoints=checkpoints,
            writer=writer,
            evaluate=evaluate,
        )
    finally:
        writer.close()
        checkpoints.close()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def saved(folder: Path) -> list[int]:
    return sorted(int(step.name) for step in (folder / "checkpoints").iterdir())


def test_a_run_logs_evaluates_and_saves_in_turn_and_keeps_the_best(tmp_path: Path) -> None:
    scores = iter([0.9, 0.5])

    def evaluate(state: states.State) -> Scores:
        score = next(scores)
        return Scores({"mean_iou": score, "step_seen": float(state["step"])}, score)

    outcome = train(tmp_path, batches(), steps=7, evaluate=evaluate, evaluate_every=4, save_every=5)
    assert outcome.finished
    assert outcome.step == int(outcome.state["step"]) == 7
    # The newest two stay, and the best.
    assert saved(tmp_path) == [4, 5, 7]
    rows = records(tmp_path)
    trained = [row for row in rows if "loss" in row]
    assert [row["step"] for row in trained] == [2, 4, 6, 7]
    assert {"loss/matching", "gradient_norm", "temperature", "learning_rate"} <= trained[0].keys()
    assert trained[1]["images_per_second"] > 0
    assert 0 <= trained[1]["data_wait"] <= 1
    evaluated = [row for row in rows if "evaluation/mean_iou" in row]
    assert [row["step"] for row in evaluated] == [4, 7]
    assert [row["evaluation/step_seen"] for row in evaluated] == [4, 7]
    assert evaluated[0]["evaluation/seconds"] >= 0


def test_records_are_means_over_their_interval(tmp_path: Path) -> None:
    train(tmp_path / "each", batches(), steps=4, log_every=1)
    train(tmp_path / "both", batches(), steps=4, log_every=2)
    each = [row["loss"] for row in records(tmp_path / "each")]
    both = [row["loss"] for row in records(tmp_path / "both")]
    np.testing.assert_allclose(both, np.mean(np.reshape(each, (2, 2)), axis=1), rtol=1e-6)


def test_the_step_is_compiled_once(tmp_path: Path) -> None:
    compiled: list[int] = []
    taken = 0

    def count(event: str, seconds: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(taken)

    def note(step: int, rows: Any) -> Any:
        nonlocal taken
        taken = step
        return rows

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        train(tmp_path, batches(note), steps=12, save_every=4)
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    # Batches are read ahead by threads, so the first few are taken before the step is compiled.
    assert compiled, "nothing was counted"
    assert len([step for step in compiled if step > 0]) <= 1, compiled


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    def spoil(step: int, rows: Any) -> Any:
        if step == 5:
            rows["image"][0] = np.nan
        return rows

    with pytest.raises(DivergedError) as error:
        train(tmp_path, batches(spoil), steps=20, save_every=2, log_every=50)
    message = str(error.value)
    assert message.startswith("step 6 is not finite (loss nan")
    assert str(tmp_path / "checkpoints/4") in message
    assert saved(tmp_path) == [2, 4]
    restored = open_run(tmp_path).restore(make_plan((2, 1, 1)), batches())
    assert restored is not None
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(restored)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_first_and_the_run_resumes_bit_for_bit(
    tmp_path: Path, number: signal.Signals
) -> None:
    def interrupt(step: int, rows: Any) -> Any:
        if step == 2:
            os.kill(os.getpid(), number)
        return rows

    before = signal.getsignal(number)
    outcome = train(tmp_path / "cut", batches(interrupt), steps=9)
    assert not outcome.finished
    assert outcome.step < 9
    assert saved(tmp_path / "cut") == [outcome.step]
    assert signal.getsignal(number) is before
    resumed = train(tmp_path / "cut", batches(), steps=9)
    whole = train(tmp_path / "whole", batches(), steps=9)
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(resumed.state), jax.device_get(whole.state)
    )
    assert [row["step"] for row in records(tmp_path / "cut")] == [2, 4, 6, 8, 9]


def test_a_run_that_is_done_does_nothing_more(tmp_path: Path) -> None:
    first = train(tmp_path, batches(), steps=2)
    again = train(tmp_path, batches(), steps=2)
    assert again.finished
    assert again.step == 2
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(first.state), jax.device_get(again.state)
    )


def test_collapsed_groups_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loop._warn_of_collapse({"largest_group_share": 0.5})
        assert not caplog.text
        loop._warn_of_collapse({"largest_group_share": 0.99})
    assert "one holds 99 % of an image" in caplog.text


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"loop.steps: expected 1 or more, got 0"):
        LoopConfig(steps=0)
