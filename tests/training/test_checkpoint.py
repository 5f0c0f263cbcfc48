"""Loading trained models from a run's folder."""

import logging
from pathlib import Path
from typing import Any

import jax
import optax
import pytest

from ovs_jax import parallel
from ovs_jax.models import registry
from ovs_jax.training import state as states
from ovs_jax.training.checkpoint import load_model
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.resume import CheckpointConfig, Checkpoints
from tests.training.stand_in import data, equal

CONFIG = registry.model_config("groupvit", "nano")
TOKENIZER = {"kind": "wordpiece", "vocabulary": ["[PAD]", "[UNK]"]}


@pytest.fixture(scope="module")
def state() -> states.State:
    plan = states.plan(
        registry.build(CONFIG),
        mesh=parallel.make_mesh((1, 1, 1), devices=jax.devices()[:1]),
        config=OptimizerConfig(),
        schedule=optax.constant_schedule(0.1),
    )
    return states.scratch(plan, 0)


def save(
    folder: Path, state: states.State, scores: dict[int, float | None], **changes: Any
) -> None:
    description = {
        "config": {"seed": 3},
        "model": registry.to_dict(CONFIG) | changes,
        "tokenizer": TOKENIZER,
    }
    run = Checkpoints(folder, CheckpointConfig(keep=9), description=description)
    for step, score in scores.items():
        run.save(step, state | {"step": jax.numpy.int32(step)}, data(), score=score)
    run.close()


def test_a_model_comes_back_with_everything_it_needs(tmp_path: Path, state: states.State) -> None:
    save(tmp_path, state, {4: None})
    loaded = load_model(tmp_path)
    assert loaded.model_config == CONFIG
    equal(loaded.params, state["params"])
    equal(loaded.stats, state["stats"])
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded.params))
    assert (loaded.config, loaded.tokenizer, loaded.step) == ({"seed": 3}, TOKENIZER, 4)


def test_a_run_gives_its_best_step_else_its_newest_and_a_step_itself(
    tmp_path: Path, state: states.State
) -> None:
    save(tmp_path / "scored", state, {1: 0.2, 2: 0.8, 10: 0.5, 11: None})
    assert load_model(tmp_path / "scored").step == 2
    assert load_model(str(tmp_path / "scored/checkpoints")).step == 2
    assert load_model(tmp_path / "scored/checkpoints/10").step == 10
    save(tmp_path / "plain", state, {9: None, 10: None})
    assert load_model(tmp_path / "plain").step == 10


def test_an_empty_step_is_passed_over(
    tmp_path: Path, state: states.State, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, state, {4: None})
    (tmp_path / "checkpoints/9").mkdir()
    with caplog.at_level(logging.WARNING):
        assert load_model(tmp_path).step == 4
    assert "checkpoints/9 is unusable" in caplog.text


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{name} holds no usable checkpoint; expected"):
        load_model(tmp_path / name)


def test_arrays_that_do_not_fit_the_config_are_listed(tmp_path: Path, state: states.State) -> None:
    wider = registry.to_dict(CONFIG)["text"] | {"vocabulary": 600}
    save(tmp_path, state, {4: None}, text=wider)
    with pytest.raises(ValueError, match=r"another architecture.*text_encoder/.*\(600, "):
        load_model(tmp_path)
