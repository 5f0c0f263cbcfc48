"""One batch in parts, with its texts cut, or by sigmoid: what must be equal is equal."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ovs_jax import parallel
from ovs_jax.data.text_lengths import cut_texts
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.training import state as states
from ovs_jax.training.objectives import CaptionObjective
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.step import StepConfig, make_step

ROWS, LENGTH = 16, 24
TASKS = CaptionObjective(multi_label=1.0, entity=1.0, project_tokens=False)
MODEL = {
    "encoder": {"depths": (0, 1), "image_size": 16},
    "multi_label": True,
    "mask_padding": True,
    "logit_bias": True,
}


class Quiet:
    """An objective without noise, which would be other noise in parts."""

    def __init__(self, objective: CaptionObjective) -> None:
        self.objective = objective

    def __call__(self, model: Any, batch: Any, key: Any) -> Any:
        return self.objective(model, batch, None)

    def features(self, model: Any, batch: Any, key: Any) -> Any:
        return self.objective.features(model, batch, None)

    def compare(self, model: Any, pooled: Any, batch: Any) -> Any:
        return self.objective.compare(model, pooled, batch)

    def check_parts(self) -> None:
        self.objective.check_parts()


def texts(rng: np.random.Generator, *shape: int) -> dict[str, np.ndarray]:
    kept = rng.integers(4, 15, shape)
    ids = rng.integers(5, 500, (*shape, LENGTH)).astype(np.int32)
    mask = np.arange(LENGTH) < kept[..., None]
    return {"ids": np.where(mask, ids, 0).astype(np.int32), "mask": mask}


@pytest.fixture(scope="module")
def plan() -> states.Plan:
    return states.plan(
        registry.build(registry.model_config("ovsegmentor", "nano", overrides=MODEL)),
        mesh=parallel.make_mesh((2, 1, 1), devices=jax.devices()[:2]),
        config=OptimizerConfig(clip_norm=1e9),
        schedule=optax.constant_schedule(0.01),
    )


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((ROWS, 16, 16, 3), np.float32)
    named = {name: texts(rng, ROWS) for name in ("caption", "question", "answer")}
    return {"image": image, **named, "prompts": texts(rng, ROWS, 2)}


def first_step(
    plan: states.Plan, batch: Any, objective: CaptionObjective, config: StepConfig
) -> tuple[Any, Any]:
    """Metrics, and moments and statistics of a state whose weights are spread as trained ones."""
    drawn, rng = jax.device_get(states.scratch(plan, 0)), np.random.default_rng(1)
    drawn["params"] = jax.tree.map(
        lambda x: x + rng.normal(0, 0.1, x.shape).astype(np.float32) if x.ndim else x,
        drawn["params"],
    )
    layout = {name: plan.shardings[name] for name in ("params", "stats")}
    weights = parallel.place({name: drawn[name] for name in layout}, layout)
    step = make_step(plan, Quiet(objective), config)
    state, metrics = step(states.begin(plan, weights), parallel.shard_batch(batch, plan.mesh))
    state, metrics = jax.device_get((state, metrics))
    return metrics, {"gradients": state["optimizer"][1].mu, "stats": state["stats"]}


def assert_equal(found: tuple[Any, Any], expected: tuple[Any, Any], *, relative: float) -> None:
    for name, value in expected[0].items():
        np.testing.assert_allclose(found[0][name], value, rtol=relative, err_msg=name)
    together = float(optax.tree.norm(expected[1]["gradients"]))
    for path, array in functional.paths(expected[1]).items():
        other = functional.paths(found[1])[path]
        # Some gradients are zero in real arithmetic, such as that of a bias before BatchNorm.
        allowed = relative * max(float(np.linalg.norm(array)), 0.1 * together)
        assert np.linalg.norm(other - array) <= allowed, path


@pytest.fixture(scope="module")
def whole(plan: states.Plan, batch: Any) -> tuple[Any, Any]:
    return first_step(plan, batch, TASKS, StepConfig())


def test_a_batch_in_parts_with_all_negatives_is_the_whole_batch(
    plan: states.Plan, batch: Any, whole: tuple[Any, Any]
) -> None:
    config = StepConfig(accumulate=4, negatives="batch")
    assert_equal(first_step(plan, batch, TASKS, config), whole, relative=1e-6)


def test_texts_cut_to_what_they_need_change_no_loss_and_no_gradient(
    plan: states.Plan, batch: Any, whole: tuple[Any, Any]
) -> None:
    short = cut_texts(batch, 16)
    assert short["prompts"]["ids"].shape == (ROWS, 2, 16)
    assert_equal(first_step(plan, short, TASKS, StepConfig()), whole, relative=1e-6)


def test_pairs_by_sigmoid_are_the_same_whole_and_in_parts_by_tiles(
    plan: states.Plan, batch: Any
) -> None:
    sigmoid = replace(TASKS, contrast="sigmoid")
    expected = first_step(plan, batch, sigmoid, StepConfig())
    assert np.linalg.norm(expected[1]["gradients"]["logit_bias"]) > 0
    config = StepConfig(accumulate=2, negatives="batch")
    assert_equal(first_step(plan, batch, replace(sigmoid, tile=3), config), expected, relative=1e-6)


def test_what_cannot_be_computed_from_parts_is_refused(plan: states.Plan) -> None:
    config = StepConfig(accumulate=2, negatives="batch")
    with pytest.raises(ValueError, match=r"step.negatives: .* objective.project_tokens=False"):
        make_step(plan, CaptionObjective(), config)
    with pytest.raises(ValueError, match=r"step.negatives: .* objective.mask=0"):
        make_step(plan, CaptionObjective(mask=0.1, project_tokens=False), config)
    with pytest.raises(ValueError, match="not possible with this objective"):
        make_step(plan, lambda model, batch, key: (jnp.zeros(()), {}), config)


def test_padding_that_something_looks_at_is_not_cut() -> None:
    seen = registry.model_config("ovsegmentor", "nano")
    unseen = registry.model_config("ovsegmentor", "nano", overrides={"mask_padding": True})
    with pytest.raises(ValueError, match=r"objective.project_tokens=false"):
        CaptionObjective().check_padding_unseen(unseen)
    with pytest.raises(ValueError, match=r"model.mask_padding=true"):
        TASKS.check_padding_unseen(seen)
    TASKS.check_padding_unseen(unseen)
