"""One step on a small stand-in model: what changes, what stays, and that devices do not matter."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from ovs_jax import parallel
from ovs_jax.data.transforms import normalize
from ovs_jax.nn import functional
from ovs_jax.training import state as states
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.step import StepConfig, make_step, normalized
from tests.training.stand_in import FROZEN, Pair, batch, make_plan, objective


def run(
    plan: states.Plan, config: StepConfig | None = None, *, steps: int = 1
) -> tuple[functional.Tree, dict[str, np.ndarray]]:
    step, state, metrics = (
        make_step(plan, objective, config or StepConfig()),
        states.scratch(plan, 3),
        {},
    )
    for index in range(steps):
        state, metrics = step(state, parallel.shard_batch(batch(seed=index), plan.mesh))
    return jax.device_get(state), jax.device_get(metrics)


def test_a_scratch_state_is_laid_out_by_rule_and_drawn_by_seed_alone() -> None:
    plan = make_plan((2, 4, 1))
    state = states.scratch(plan, 3)
    kernel = state["params"]["image_encoder"]["kernel"]
    assert kernel.sharding.spec == PartitionSpec("fsdp", None)
    assert state["optimizer"][1].mu["image_encoder"]["kernel"].sharding == kernel.sharding
    other = states.scratch(make_plan((1, 1, 1)), 3)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), jax.device_get(other))
    assert not np.array_equal(kernel, states.scratch(plan, 4)["params"]["image_encoder"]["kernel"])


def test_the_momentum_encoder_starts_as_a_copy_and_then_follows_the_updated_weights() -> None:
    plan = make_plan()
    start = jax.device_get(states.scratch(plan, 3))["params"]
    np.testing.assert_array_equal(
        start["momentum_encoder"]["kernel"], start["image_encoder"]["kernel"]
    )
    state, _ = run(plan, StepConfig(momentum=0.9))
    expected = (
        0.9 * start["image_encoder"]["kernel"] + 0.1 * (state["params"]["image_encoder"]["kernel"])
    )
    np.testing.assert_allclose(
        state["params"]["momentum_encoder"]["kernel"], expected, rtol=1e-5, atol=1e-7
    )


def test_frozen_parameters_stay_and_have_no_optimizer_state() -> None:
    plan = make_plan(frozen=(*FROZEN, "text_encoder/.*"))
    start = jax.device_get(states.scratch(plan, 3))
    state, _ = run(plan, steps=2)
    np.testing.assert_array_equal(
        state["params"]["text_encoder"]["embedding"], start["params"]["text_encoder"]["embedding"]
    )
    assert set(state["optimizer"][1].mu) == {"image_encoder", "logit_scale", "norm"}
    assert not np.array_equal(
        state["params"]["image_encoder"]["kernel"], start["params"]["image_encoder"]["kernel"]
    )


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 4, 1), (1, 8, 1)])
def test_eight_devices_give_the_loss_and_gradients_of_one(
    shape: tuple[int, int, int],
) -> None:
    one, one_metrics = run(make_plan((1, 1, 1)))
    many, many_metrics = run(make_plan(shape))
    np.testing.assert_allclose(many_metrics["loss"], one_metrics["loss"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        many_metrics["gradient_norm"], one_metrics["gradient_norm"], rtol=1e-5
    )
    # After one step the first moment is a tenth of the gradient. A bias before BatchNorm has no
    # gradient in real arithmetic, so rounding at the scale of all gradients together is allowed.
    floor = 1e-7 * float(optax.tree.norm(one["optimizer"][1].mu))
    for path, leaf in functional.paths(one["optimizer"][1].mu).items():
        other = functional.paths(many["optimizer"][1].mu)[path]
        assert np.linalg.norm(other - leaf) <= 1e-5 * np.linalg.norm(leaf) + floor, path
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        many["stats"],
        one["stats"],
    )


def test_the_noise_of_a_step_depends_on_seed_and_step_only() -> None:
    first, _ = run(make_plan(), StepConfig(seed=5), steps=2)
    again, _ = run(make_plan(), StepConfig(seed=5), steps=2)
    other, _ = run(make_plan(), StepConfig(seed=6), steps=2)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(
        first["params"]["image_encoder"]["kernel"], other["params"]["image_encoder"]["kernel"]
    )
    assert first["step"] == 2


def test_accumulated_gradients_are_the_mean_over_the_parts() -> None:
    def by_rows(model: Pair, batch: Any, key: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        pixels = batch["image"].reshape(batch["image"].shape[0], -1)
        return jnp.mean(model.image_encoder(pixels) ** 2), {"rows": jnp.float32(len(pixels))}

    plan = make_plan((2, 1, 1))
    results = []
    for parts in (1, 4):
        step = make_step(plan, by_rows, StepConfig(accumulate=parts))
        state, metrics = step(states.scratch(plan, 3), parallel.shard_batch(batch(), plan.mesh))
        assert metrics["rows"] == 8 / parts
        results.append(jax.device_get((state["optimizer"][1].mu, metrics["loss"])))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8), *results)


def test_batch_statistics_pass_through_the_parts_in_turn() -> None:
    plan = make_plan((1, 1, 1), frozen=(".*_encoder/.*",))
    pixels = batch()["image"].reshape(8, -1)
    start = jax.device_get(states.scratch(plan, 3))["params"]["image_encoder"]
    hidden = pixels @ start["kernel"] + start["bias"]
    # Part i holds every second row from i; the running mean starts at 0.
    expected = 0.9 * (0.1 * hidden[0::2].mean(0)) + 0.1 * hidden[1::2].mean(0)
    state, _ = run(plan, StepConfig(accumulate=2))
    np.testing.assert_allclose(state["stats"]["norm"]["mean"], expected, atol=2e-3)


class Halves:
    """The objective of the stand-in without noise, its BatchNorm in the half that sees all rows."""

    def __call__(self, model: Pair, batch: Any, key: jax.Array) -> Any:
        pooled, seen = self.features(model, batch, key)
        loss, metrics = self.compare(model, pooled, batch)
        return loss, metrics | seen

    def features(self, model: Pair, batch: Any, key: jax.Array) -> Any:
        pixels = batch["image"].reshape(batch["image"].shape[0], -1)
        text = model.text_encoder(batch["caption"]["ids"]).mean(1)
        return {"image": model.image_encoder(pixels), "text": text}, {"largest": pixels.max()}

    def compare(self, model: Pair, pooled: Any, batch: Any) -> Any:
        logits = model.norm(pooled["image"]) @ pooled["text"].T * jnp.exp(model.logit_scale[...])
        loss = -jnp.mean(jnp.diagonal(jax.nn.log_softmax(logits)))
        return loss, {"loss/matching": loss}

    def check_parts(self) -> None:
        """There is nothing to refuse."""


def test_parts_with_the_negatives_of_the_whole_batch_have_its_loss_gradients_and_statistics() -> (
    None
):
    plan = make_plan((2, 1, 1))
    rows = batch(16)
    results = []
    for config in (StepConfig(), StepConfig(accumulate=4, negatives="batch")):
        step = make_step(plan, Halves(), config)
        state, metrics = step(states.scratch(plan, 3), parallel.shard_batch(rows, plan.mesh))
        results.append(jax.device_get((state["optimizer"][1].mu, state["stats"], metrics)))
    (grads, stats, metrics), (part_grads, part_stats, part_metrics) = results
    for name in ("loss", "loss/matching", "gradient_norm"):
        np.testing.assert_allclose(part_metrics[name], metrics[name], rtol=1e-6)
    together = float(optax.tree.norm(grads))
    for path, array in functional.paths(grads).items():
        # A bias before BatchNorm has no gradient but rounding.
        floor = 1e-7 * together
        other = functional.paths(part_grads)[path]
        assert np.linalg.norm(other - array) <= 1e-6 * np.linalg.norm(array) + floor, path
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), part_stats, stats)
    expected = np.mean([rows["image"][i::4].max() for i in range(4)])
    np.testing.assert_allclose(part_metrics["largest"], expected, rtol=1e-6)


def test_an_objective_without_halves_has_no_negatives_beyond_its_part() -> None:
    with pytest.raises(ValueError, match="not possible with this objective"):
        make_step(make_plan(), objective, StepConfig(accumulate=2, negatives="batch"))


def test_pixels_are_normalised_as_on_the_host_and_nothing_else_is_changed() -> None:
    pixels = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, -1)
    rows = {"image": pixels, "other": pixels / np.float32(7), "ids": np.arange(3)}
    found = jax.jit(normalized)(rows)
    np.testing.assert_allclose(found["image"], normalize(pixels[0])[None], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found["other"], rows["other"])
    np.testing.assert_array_equal(found["ids"], rows["ids"])


def test_images_reach_the_model_normalised() -> None:
    def mean(model: Pair, batch: Any, key: jax.Array) -> Any:
        loss, metrics = objective(model, batch, key)
        return loss, metrics | {"mean": batch["image"].mean()}

    plan, rows = make_plan(), batch()
    rows["image"] = np.full((8, 2, 2, 3), 200, np.uint8)
    _, metrics = make_step(plan, mean, StepConfig())(
        states.scratch(plan, 3), parallel.shard_batch(rows, plan.mesh)
    )
    assert float(metrics["mean"]) == pytest.approx(normalize(rows["image"][0]).mean(), rel=1e-6)


def test_bfloat16_computes_near_float32_and_keeps_the_state_in_float32() -> None:
    seen = {}

    def spy(model: Pair, batch: Any, key: jax.Array) -> Any:
        seen["kernel"] = model.image_encoder.kernel[...].dtype
        seen["temperature"] = model.logit_scale[...].dtype
        seen["image"], seen["ids"] = batch["image"].dtype, batch["caption"]["ids"].dtype
        return objective(model, batch, key)

    plan = make_plan()
    step = make_step(plan, spy, StepConfig(dtype="bfloat16"))
    state, metrics = step(states.scratch(plan, 3), parallel.shard_batch(batch(), plan.mesh))
    assert seen == {
        "kernel": jnp.bfloat16,
        "temperature": jnp.float32,
        "image": jnp.bfloat16,
        "ids": jnp.int32,
    }
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, state)
    assert dtypes == jax.tree.map(lambda leaf: leaf.dtype, plan.shapes)
    _, exact = run(plan)
    np.testing.assert_allclose(metrics["loss"], exact["loss"], rtol=2e-2)


def test_a_step_that_is_not_finite_changes_nothing_but_the_step() -> None:
    plan = make_plan()
    step = make_step(plan, objective, StepConfig())
    rows = batch()
    state, metrics = step(states.scratch(plan, 3), parallel.shard_batch(rows, plan.mesh))
    assert metrics["finite"] == 1
    before = jax.device_get(state)
    rows["image"][0] = np.inf
    after, metrics = step(state, parallel.shard_batch(rows, plan.mesh))
    assert metrics["finite"] == 0
    assert after.pop("step") == before.pop("step") + 1
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(after), before)


def test_impossible_settings_are_refused() -> None:
    plan = make_plan()
    with pytest.raises(ValueError, match=r"step.dtype: expected .*bfloat16.* got 'float16'"):
        make_step(plan, objective, StepConfig(dtype="float16"))
    with pytest.raises(ValueError, match=r"step.accumulate: expected at least 1, got 0"):
        make_step(plan, objective, StepConfig(accumulate=0))


def test_a_model_without_a_momentum_encoder_trains_too() -> None:
    plan = states.plan(
        lambda rngs: Pair(rngs, momentum=False),
        mesh=parallel.make_mesh((8, 1, 1)),
        config=OptimizerConfig(),
        schedule=optax.constant_schedule(0.05),
    )
    step, state = make_step(plan, objective, StepConfig()), states.scratch(plan, 0)
    rows = parallel.shard_batch(batch(), plan.mesh)
    losses = []
    for _ in range(15):
        state, metrics = step(state, rows)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.5 * losses[0]
    assert isinstance(functional.bind(plan.static, state["params"], state["stats"]), nnx.Module)
