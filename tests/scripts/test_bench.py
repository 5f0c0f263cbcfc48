"""The hand count of FLOPs, against arithmetic and against XLA."""

import sys
from typing import Any

import jax
import numpy as np
import pytest
from benchmark import flops, machine, measure

from ovs_jax.models.registry import build, model_config
from ovs_jax.nn import functional
from ovs_jax.training.objectives import CaptionObjective

WIDE = {
    "encoder": {"width": 128, "image_size": 64},
    "text": {"width": 128, "hidden": 512, "vocabulary": 64},
    "projector": {"hidden": 512},
}
"""A nano model wide enough that matrix products outweigh what is not counted."""
LENGTH, BATCH = 32, 2


def test_a_block_of_three_tokens_and_two_channels_counts_what_a_pencil_does() -> None:
    # Query, key, value and output: 4 products of 3x2 by 2x2; scores and their use: 2 of 3x2 by 2x3;
    # the MLP with 8 hidden channels: 3x2 by 2x8 and back. Two operations a multiply-add.
    expected = 2 * (4 * 3 * 2 * 2 + 2 * 3 * 2 * 3 + 2 * 3 * 2 * 8)
    assert flops.block(3, 2, 8) == expected == 360


def test_a_gradient_doubles_what_is_trained_and_leaves_what_is_not() -> None:
    assert flops.trained(10).total == 30
    assert flops.first(10).total == 20
    assert flops.without_gradient(10).total == 10


@pytest.mark.parametrize(
    ("objective", "text_trained"),
    [
        (CaptionObjective(entity=1.0), True),
        (CaptionObjective(entity=1.0, mask=0.1), False),
    ],
    ids=["stage 1", "stage 2"],
)
def test_the_count_of_a_training_step_is_near_that_of_xla(
    objective: CaptionObjective, text_trained: bool
) -> None:
    config = model_config("ovsegmentor", "nano", overrides=WIDE | {"momentum": objective.mask > 0})
    static, params, stats = functional.abstract(build(config))
    text = {
        "ids": jax.ShapeDtypeStruct((BATCH, LENGTH), np.int32),
        "mask": jax.ShapeDtypeStruct((BATCH, LENGTH), bool),
    }
    image = jax.ShapeDtypeStruct((BATCH, 64, 64, 3), np.float32)
    batch: dict[str, Any] = {"image": image, "caption": text, "question": text, "answer": text}
    batch |= {"cross_image": image, "cross_entity": text} if objective.mask else {}
    frozen = {"momentum_encoder"} | (set() if text_trained else {"text_encoder"})
    trained = {name: leaf for name, leaf in params.items() if name not in frozen}
    rest = {name: leaf for name, leaf in params.items() if name in frozen}

    def loss(trained: Any, rest: Any, batch: Any) -> Any:
        model = functional.bind(static, trained | rest, stats_of(stats), train=True)
        value, _ = objective(model, batch, jax.random.key(0))
        return value, functional.batch_statistics(model)

    differentiate = jax.jit(jax.value_and_grad(loss, has_aux=True))
    program = differentiate.lower(trained, rest, batch).compile()
    counted = flops.training(config, objective, text_length=LENGTH, text_trained=text_trained).total
    assert program.cost_analysis()["flops"] / BATCH == pytest.approx(counted, rel=0.1)


def stats_of(shapes: Any) -> Any:
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)


def test_things_are_timed_in_turn_and_compared_within_rounds() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = measure.in_turn(runs, warm_up=1, repeats=2)
    assert order == ["a", "b"] * 3
    assert len(times["a"].seconds) == 2
    one, other = measure.Times((2.0, 9.0, 4.0)), measure.Times((1.0, 3.0, 4.0))
    assert measure.ratios(one, other) == (2.0, 1.0, 3.0)


def test_a_device_without_published_peak_has_none() -> None:
    assert machine.peak_flops("NVIDIA H200", "bfloat16") == 989.5e12
    assert machine.peak_flops("TPU v5 lite", "bfloat16") == 197e12
    assert machine.peak_flops("TPU v5", "bfloat16") == 459e12
    assert machine.peak_flops("cpu", "float32") is None


def test_threads_cannot_be_limited_once_jax_runs() -> None:
    assert "jax" in sys.modules
    with pytest.raises(ValueError, match="loaded already"):
        machine.limit_threads(1)
