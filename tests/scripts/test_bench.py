"""How things are timed."""

import sys

import jax
import pytest
from benchmark import accelerator, cases, machine, measure, training

from ovs_jax.planning.step_program import batch_shapes
from ovs_jax.training.caption_task import caption_model
from ovs_jax.training.experiment import make_mesh


def test_things_are_timed_in_turn_and_compared_within_rounds() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = measure.in_turn(runs, warm_up=1, repeats=2)
    assert order == ["a", "b"] * 3
    assert len(times["a"].seconds) == 2
    one, other = measure.Times((2.0, 9.0, 4.0)), measure.Times((1.0, 3.0, 4.0))
    assert measure.ratios(one, other) == (2.0, 1.0, 3.0)


def test_threads_cannot_be_limited_once_jax_runs() -> None:
    assert "jax" in sys.modules
    with pytest.raises(ValueError, match="loaded already"):
        machine.limit_threads(1)


@pytest.mark.parametrize("name", accelerator.STEPS)
def test_what_is_timed_takes_the_batches_that_training_takes(name: str) -> None:
    experiment, changes = accelerator.STEPS[name]
    smoke = training.variant(experiment, smoke=True)
    config = training.load(smoke, batch=8, dtype="bfloat16", overrides=changes)
    assert (config.batch_size, config.step.dtype) == (8, "bfloat16")
    random = cases.random_batch(caption_model(config), config, config.data.text_length)
    wanted = batch_shapes(config, make_mesh(config))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), random) == jax.tree.map(
        lambda x: (x.shape, x.dtype), wanted
    )


def test_pytorch_is_compared_at_the_largest_batches_and_at_the_same() -> None:
    def rate(batch: int, seconds: float) -> accelerator.Rate:
        return accelerator.Rate("", "", batch, seconds, 0.0, 0, None)

    ours = {64: rate(64, 0.1), 128: rate(128, 0.16)}
    said = accelerator.compared(ours, {64: rate(64, 0.2)})
    assert "800.0 images/s here at batch 128, 320.0 in PyTorch at batch 64: 2.50 x" in said
    assert said.endswith("2.00 x at batch 64")
