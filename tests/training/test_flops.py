"""The hand count of FLOPs, against arithmetic and against XLA."""

from typing import Any

import jax
import numpy as np
import pytest

from ovs_jax.models.registry import build, model_config
from ovs_jax.nn import functional
from ovs_jax.training import flops
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


def test_the_count_of_a_step_with_all_tasks_is_near_that_of_xla() -> None:
    objective = CaptionObjective(entity=1.0, mask=0.1)
    config = model_config("ovsegmentor", "nano", overrides=WIDE | {"momentum": True})
    static, params, stats = functional.abstract(build(config))
    text = {
        "ids": jax.ShapeDtypeStruct((BATCH, LENGTH), np.int32),
        "mask": jax.ShapeDtypeStruct((BATCH, LENGTH), bool),
    }
    image = jax.ShapeDtypeStruct((BATCH, 64, 64, 3), np.float32)
    names = ("caption", "question", "answer", "cross_entity")
    batch = {"image": image, "cross_image": image} | dict.fromkeys(names, text)
    # As in stage 2. A trained text encoder would be differentiated for all texts at once, that of
    # the shared entity too, which needs no gradient and is not counted.
    fixed = {name: params.pop(name) for name in ("momentum_encoder", "text_encoder")}

    def loss(trained: Any, frozen: Any, batch: Any) -> Any:
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), stats)
        model = functional.bind(static, trained | frozen, zeros, train=True)
        value, _ = objective(model, batch, jax.random.key(0))
        return value, functional.batch_statistics(model)

    lowered = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(params, fixed, batch)
    # Only the count is wanted, so the machine code need not be good.
    program = lowered.compile({"xla_backend_optimization_level": 0})
    counted = flops.training(config, objective, text_length=LENGTH, text_trained=False)
    assert program.cost_analysis()["flops"] / BATCH == pytest.approx(counted.total, rel=0.1)
