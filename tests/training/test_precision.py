"""What a bfloat16 step computes in float32, and what in bfloat16: traced, not compiled."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping
from ovs_jax.planning.step_program import batch_shapes
from ovs_jax.training import experiment
from ovs_jax.training.config import RunConfig
from ovs_jax.training.step import StepConfig, make_step

IN_FLOAT32 = ("log", "rsqrt", "reduce_max", "sqrt")
"""What softmaxes, norms, similarities, losses and the optimizer are made of."""


def equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def test_products_are_bfloat16_and_norms_softmaxes_losses_and_state_float32() -> None:
    loaded = experiments.load("ovsegmentor/stage2:smoke", ["--config.step.dtype=bfloat16"])
    config = from_mapping(RunConfig, loaded.to_dict())
    mesh = experiment.make_mesh(config)
    plan = experiment.make_plan(config, mesh, steps=10, steps_per_epoch=1)
    step = make_step(plan, config.objective, StepConfig(dtype=config.step.dtype))
    traced = jax.make_jaxpr(step)(plan.shapes, batch_shapes(config, mesh))
    found: dict[str, Counter[str]] = {}
    for equation in equations(traced.jaxpr):
        dtype = str(equation.invars[0].aval.dtype) if equation.invars else ""
        found.setdefault(equation.primitive.name, Counter())[dtype] += 1
    for name in IN_FLOAT32:
        assert "bfloat16" not in found.get(name, {}), name
    # The only exponentials in bfloat16 are those of the derivatives of GELUs.
    assert found["exp"]["float32"] > 0
    assert found["exp"]["bfloat16"] <= (found.get("erfc") or found["erf"])["bfloat16"]
    assert found["rsqrt"]["float32"] > 0
    products = found["dot_general"]
    assert products["bfloat16"] > 3 * products["float32"] > 0  # those of the losses
    state, metrics = jax.eval_shape(step, plan.shapes, batch_shapes(config, mesh))
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves((state, metrics))}
    assert kinds == {"float32", "int32"}
