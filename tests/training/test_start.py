"""Where a run's first weights come from."""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ovs_jax.nn import functional
from ovs_jax.training import state as states
from ovs_jax.training.start import InitConfig, start, transfer
from tests.training.stand_in import data, equal, make_plan, open_run

COPY = (("momentum_encoder/(.*)", r"image_encoder/\1"),)


def first_run(folder: Path, **plan: Any) -> states.State:
    """Saves a run whose weights are unlike those of seed 0, at step 5."""
    state = states.scratch(make_plan(**plan), 9) | {"step": jax.numpy.int32(5)}
    run = open_run(folder)
    run.save(5, state, data())
    run.close()
    return state


def begin(folder: Path, plan: states.Plan, init: InitConfig) -> states.State:
    run = open_run(folder)
    state = start(plan, run, data(), seed=0, init=init)
    run.close()
    return state


def test_a_run_that_has_checkpoints_resumes_whatever_init_says(tmp_path: Path) -> None:
    saved = first_run(tmp_path / "a")
    equal(begin(tmp_path / "a", make_plan(), InitConfig(checkpoint="/nowhere")), saved)


def test_a_run_with_nothing_to_start_from_draws_its_weights(tmp_path: Path) -> None:
    plan = make_plan()
    equal(begin(tmp_path, plan, InitConfig()), states.scratch(plan, 0))


def test_another_runs_weights_fill_a_second_stage_with_its_momentum_encoder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage1 = first_run(tmp_path / "stage1", momentum=False, frozen=())
    plan = make_plan((2, 4, 1))
    init = InitConfig(checkpoint=str(tmp_path / "stage1"), rename=COPY)
    with caplog.at_level(logging.INFO):
        state = begin(tmp_path / "stage2", plan, init)
    params = jax.device_get(state["params"])
    equal(params["image_encoder"], stage1["params"]["image_encoder"])
    equal(params["momentum_encoder"], stage1["params"]["image_encoder"])
    equal(state["stats"], stage1["stats"])
    assert state["step"] == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.device_get(state["optimizer"])))
    assert jax.tree.map(lambda x: x.sharding, state) == plan.shardings
    assert "initialised from" in caplog.text
    assert "filled 10 arrays (2 of them under another name)" in caplog.text


def test_what_cannot_be_filled_must_be_allowed_by_name(tmp_path: Path) -> None:
    first_run(tmp_path / "stage1", momentum=False, frozen=(), width=4)
    plan, source = make_plan(momentum=False, frozen=()), str(tmp_path / "stage1")
    with pytest.raises(ValueError, match=r"init\.fresh") as error:
        begin(tmp_path / "b", plan, InitConfig(checkpoint=source))
    assert "image_encoder/kernel (12, 8) ((12, 4) there)" in str(error.value)
    state = begin(
        tmp_path / "c", plan, InitConfig(source, fresh=("(image|text)_encoder/.*", "norm/.*"))
    )
    equal(state["params"]["image_encoder"], states.scratch(plan, 0)["params"]["image_encoder"])
    stage1 = states.scratch(make_plan(momentum=False, frozen=(), width=4), 9)
    equal(state["params"]["logit_scale"], stage1["params"]["logit_scale"])


def test_a_path_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"init.checkpoint: /nowhere holds no usable"):
        begin(tmp_path, make_plan(), InitConfig(checkpoint="/nowhere"))


def test_the_report_names_what_is_unused_and_fresh() -> None:
    wanted = {"params": {"a": np.zeros(2), "b": np.zeros(3), "c": np.zeros(2)}, "stats": {}}
    stored = {"params": {"a": np.ones(2), "old": np.ones(4)}, "stats": {"mean": np.ones(1)}}
    config = InitConfig(rename=(("c", "a"),), fresh=("b",))
    taken = transfer(wanted, stored, config, source="somewhere")
    assert functional.paths(taken.weights).keys() == {"params/a", "params/c"}
    assert (taken.renamed, taken.fresh, taken.unused) == (("c",), ("b",), ("old", "mean"))
    assert taken.report() == (
        "filled 2 arrays (1 of them under another name) | from scratch: b | unused: old; mean"
    )


@pytest.mark.parametrize(
    ("rename", "message"),
    [((("(", "a"),), r"pattern '\('"), ((("(c)", r"\2"),), r"init.rename: '\\2' does not fit")],
)
def test_names_that_cannot_be_rewritten_are_told(rename: Any, message: str) -> None:
    wanted = {"params": {"c": np.zeros(2)}, "stats": {}}
    with pytest.raises(ValueError, match=message):
        transfer(wanted, wanted, InitConfig(rename=rename), source="somewhere")
