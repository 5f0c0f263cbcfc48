"""Checkpoints of a run: exact, kept by the rules, and robust against damage."""

import gc
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import grain
import jax
import numpy as np
import pytest

from ovs_jax import parallel
from ovs_jax.training import resume
from ovs_jax.training import state as states
from ovs_jax.training.resume import CheckpointConfig, Checkpoints
from ovs_jax.training.step import StepConfig, make_step
from tests.training.stand_in import DESCRIPTION, batch, data, equal, make_plan, objective, open_run

StateAt = Callable[[int], states.State]


@pytest.fixture(scope="module")
def plan() -> states.Plan:
    return make_plan()


@pytest.fixture(scope="module")
def state_at(plan: states.Plan) -> Callable[[int], states.State]:
    """Makes states that differ in every array, without compiling for each."""
    fresh = states.scratch(plan, 0)
    return cache(lambda step: jax.tree.map(lambda array: array + array.dtype.type(step), fresh))


def test_a_restored_state_and_data_position_are_those_that_were_saved(tmp_path: Path) -> None:
    plan, iterator = make_plan((2, 4, 1)), data()
    step = make_step(plan, objective, StepConfig())
    state, _ = step(states.scratch(plan, 0), parallel.shard_batch(batch(), plan.mesh))
    next(iterator)
    run = open_run(tmp_path)
    saved = jax.device_get(state)
    run.save(1, state, iterator)
    # The step takes the memory of the state over while it is still being written.
    for seed in range(5):
        state, _ = step(state, parallel.shard_batch(batch(seed=seed), plan.mesh))
    run.close()
    fresh, again = data(), open_run(tmp_path)
    restored = again.restore(plan, fresh)
    assert restored is not None
    equal(restored, saved)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert jax.tree.map(lambda x: x.sharding, restored) == plan.shardings
    np.testing.assert_array_equal(next(fresh), next(iterator))
    again.close()


def test_saving_compiles_nothing(
    tmp_path: Path, state_at: StateAt, caplog: pytest.LogCaptureFixture
) -> None:
    state, run = state_at(0), open_run(tmp_path)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run.save(0, state, data())
        run.close()
    assert not [record for record in caplog.records if "ompil" in record.getMessage()]


@pytest.mark.parametrize("least", [0, 2**20], ids=["cut", "whole"])
def test_a_checkpoint_moves_to_another_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    monkeypatch.setattr(resume, "_LEAST_SLICE", least)
    plan, other = make_plan((8, 1, 1)), make_plan((1, 2, 1))
    state, run = states.scratch(plan, 0), open_run(tmp_path)
    run.save(0, state, data())
    run.close()
    again = open_run(tmp_path)
    restored = again.restore(other, data())
    equal(restored, state)
    assert jax.tree.map(lambda x: x.sharding, restored) == other.shardings
    again.close()


def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, plan: states.Plan, state_at: StateAt
) -> None:
    state, iterator = state_at(0), data()
    run = open_run(tmp_path, keep=2)
    for step, score in enumerate([None, 0.1, 0.9, 0.5, float("nan"), None]):
        run.save(step, state, iterator, score=score)
    run.close()
    assert sorted(int(f.name) for f in (tmp_path / "checkpoints").iterdir()) == [2, 4, 5]
    stored = json.loads((tmp_path / "checkpoints/2/metadata/metadata").read_text())
    assert stored["score"] == 0.9
    assert stored["step"] == 2
    assert stored["versions"]["jax"] == jax.__version__


def test_without_scores_only_the_newest_are_kept(
    tmp_path: Path, plan: states.Plan, state_at: StateAt
) -> None:
    run = open_run(tmp_path, keep=1)
    for step in range(3):
        run.save(step, state_at(step), data())
    assert run.latest == 2
    run.close()
    assert [f.name for f in (tmp_path / "checkpoints").iterdir()] == ["2"]


def damage_nothing_left(step: Path) -> None:
    for file in sorted(step.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()


def damage_arrays(step: Path) -> None:
    for file in (step / "state").rglob("d/*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut(file: Path) -> None:
    """Takes the last byte away."""
    file.write_bytes(file.read_bytes()[:-1])


def damage_one_array(step: Path) -> None:
    """Of the file that the arrays are read from, only its end is missing.

    Each process's folder has copies of the same size, which are not read once all are merged.
    """
    (file,) = (step / "state/d").iterdir()
    cut(file)


def damage_bit(step: Path) -> None:
    (file,) = (step / "state/d").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)


def damage_position(step: Path) -> None:
    (step / "data/process_0-of-1.json").write_text('{"next_')


def damage_metadata(step: Path) -> None:
    (step / "metadata/metadata").write_text("")


def damage_score(step: Path) -> None:
    (step / "metrics/metrics").write_text("{")


DAMAGES = (
    damage_nothing_left,
    damage_arrays,
    damage_one_array,
    damage_bit,
    damage_position,
    damage_metadata,
    damage_score,
)


@pytest.fixture
def _orbax_may_complain() -> Iterator[None]:
    """Lets coroutines that Orbax leaves behind say so before the test ends.

    When several arrays of one checkpoint fail at once, Orbax closes its event loop at the first
    failure and the others complain when they are collected.
    """
    yield
    gc.collect()


may_complain = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@may_complain
@pytest.mark.usefixtures("_orbax_may_complain")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_step_is_put_aside_and_the_one_before_is_used(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    plan: states.Plan,
    state_at: StateAt,
    damage: Callable[[Path], None],
) -> None:
    run = open_run(tmp_path)
    run.save(3, state_at(3), data())
    run.save(7, state_at(7), data())
    run.close()
    damage(tmp_path / "checkpoints/7")
    again = open_run(tmp_path)
    with caplog.at_level(logging.WARNING):
        equal(again.restore(plan, data()), state_at(3))
    assert "checkpoints/7 is unusable" in caplog.text
    assert (tmp_path / resume.BROKEN / "7").is_dir()
    again.save(7, state_at(8), data())
    again.close()
    last = open_run(tmp_path)
    equal(last.restore(plan, data()), state_at(8))
    last.close()


@may_complain
@pytest.mark.usefixtures("_orbax_may_complain")
def test_with_any_one_file_cut_the_step_is_restored_exactly_or_the_one_before(
    tmp_path: Path, plan: states.Plan, state_at: StateAt
) -> None:
    run = open_run(tmp_path / "whole")
    run.save(3, state_at(3), data())
    run.save(7, state_at(7), data())
    run.close()
    step = tmp_path / "whole/checkpoints/7"
    # Of the copies that are not read any more (see above) one stands for all.
    copies = sorted(step.glob("state/ocdbt.process_0/d/*"))
    files = [file.relative_to(step) for file in step.rglob("*") if file.is_file()]
    files = [file for file in files if step / file not in copies[1:]]
    assert len(files) > 10
    for number, file in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", copy)
        cut(copy / "checkpoints/7" / file)
        again = open_run(copy)
        restored = again.restore(plan, data())
        equal(restored, state_at(3 if (copy / resume.BROKEN / "7").exists() else 7))
        again.close()


def test_a_run_without_checkpoints_restores_nothing(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    assert run.restore(make_plan(), data()) is None
    run.close()


def test_another_architecture_is_one_message_that_lists_the_differences(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.save(1, states.scratch(make_plan(width=8), 0), data())
    run.close()
    again = open_run(tmp_path)
    with pytest.raises(ValueError, match="of another architecture") as error:
        again.restore(make_plan(width=16, momentum=False), data())
    message = str(error.value)
    assert str(tmp_path / "checkpoints/1") in message
    assert "params/momentum_encoder/bias (8,) only there" in message
    assert "\n" not in message
    assert (tmp_path / "checkpoints/1").is_dir()
    again.close()


def test_other_data_settings_are_named(
    tmp_path: Path, plan: states.Plan, state_at: StateAt
) -> None:
    run = open_run(tmp_path)
    run.save(1, state_at(1), data())
    run.close()
    again = open_run(tmp_path)
    mixed = grain.MapDataset.mix([grain.MapDataset.range(8), grain.MapDataset.range(8)])
    other = iter(grain.experimental.WindowShuffleIterDataset(
        mixed.to_iter_dataset(), window_size=2, seed=0
    ))  # fmt: skip
    with pytest.raises(ValueError, match=r"checkpoints/1: the position of its data iterator"):
        again.restore(plan, other)
    again.close()


def test_a_run_of_fewer_processes_takes_the_position_of_the_first(
    tmp_path: Path, plan: states.Plan, state_at: StateAt
) -> None:
    run, iterator = open_run(tmp_path), data()
    next(iterator)
    run.save(1, state_at(1), iterator)
    run.close()
    folder = tmp_path / "checkpoints/1/data"
    (folder / "process_0-of-1.json").rename(folder / "process_0-of-2.json")
    again, fresh = open_run(tmp_path), data()
    assert again.restore(plan, fresh) is not None
    np.testing.assert_array_equal(next(fresh), next(iterator))
    again.close()


def test_a_changed_config_is_reported_on_resuming(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, plan: states.Plan, state_at: StateAt
) -> None:
    run = open_run(tmp_path)
    run.save(1, state_at(1), data())
    run.close()
    changed = DESCRIPTION | {"config": {"seed": 0, "data": {"batch": 8}}}
    again = Checkpoints(tmp_path, CheckpointConfig(), description=changed)
    with caplog.at_level(logging.WARNING):
        again.restore(plan, data())
    again.close()
    assert "data.batch: 4 -> 8" in caplog.text
    assert "seed" not in caplog.text


def test_changes_between_configs_ignore_how_json_spells_them() -> None:
    old = {"a": [1, 2], "b": {"c": 1, "gone": 2}}
    new = {"a": (1, 2), "b": {"c": 1.5, "new": None}}
    assert resume.changes(old, new) == [
        "b.c: 1 -> 1.5",
        "b.gone: 2 -> absent",
        "b.new: absent -> None",
    ]


def test_impossible_numbers_of_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoint.keep: expected at least 1, got 0"):
        open_run(tmp_path, keep=0)
