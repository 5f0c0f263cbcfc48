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
from ovs_jax.training.guards import DivergedError, GuardConfig
from ovs_jax.training.loop import LoopConfig, Scores
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


def test_steps_that_are_not_finite_are_skipped_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(step: int, rows: Any) -> Any:
        if step in (2, 3):
            rows["image"][0] = np.nan
        return rows

    with caplog.at_level(logging.WARNING):
        outcome = train(tmp_path, batches(spoil), save_every=1, log_every=2)
    assert outcome.finished
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(outcome.state)))
    for step in (3, 4):
        assert f"step {step} is not finite and is skipped: loss nan" in caplog.text
    first, second, third = records(tmp_path)
    assert second["skipped_steps"] == 2
    assert "skipped_steps" not in first | third
    # All of the steps in between have no update, and what the record before says still holds.
    assert np.isfinite([first["loss"], third["loss"]]).all()
    assert second["loss"] is None


def test_too_many_skipped_steps_end_the_run_which_goes_back_to_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    def spoil(step: int, rows: Any) -> Any:
        if step >= 5:
            rows["image"][0] = np.nan
        return rows

    guards = GuardConfig(most_skipped=3)
    with pytest.raises(DivergedError) as error:
        train(tmp_path, batches(spoil), steps=20, save_every=2, log_every=50, guards=guards)
    message = str(error.value)
    assert message.startswith("step 6 is not finite (loss nan")
    assert "as are the 4 after it" in message
    assert str(tmp_path / "checkpoints/4") in message
    assert saved(tmp_path) == [2, 4]
    # The data is mended; what was not saved is done again.
    resumed = train(tmp_path, batches(), steps=8)
    whole = train(tmp_path / "whole", batches(), steps=8)
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(resumed.state), jax.device_get(whole.state)
    )


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
    assert outcome.interrupted is (number == signal.SIGINT)
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


def test_speed_and_goodput_are_logged_and_goodput_counts_all_lives(tmp_path: Path) -> None:
    train(tmp_path, batches(), steps=8)
    first = records(tmp_path)[-1]
    assert 0 < first["step_seconds/p50"] <= first["step_seconds/p95"]
    assert first["memory/host_gib"] > 0.05
    assert first["goodput"] == pytest.approx(first["seconds/useful"] / first["seconds/wall"])
    train(tmp_path, batches(), steps=12)
    last = records(tmp_path)[-1]
    assert last["seconds/useful"] > first["seconds/useful"]
    began = [row["time"] - row["seconds/wall"] for row in records(tmp_path)]
    np.testing.assert_allclose(began, began[0], atol=1e-3)


def test_a_trace_of_a_few_steps_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    train(tmp_path, batches(), steps=9, profile=tmp_path / "profile")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"loop.steps: expected 1 or more, got 0"):
        LoopConfig(steps=0)
