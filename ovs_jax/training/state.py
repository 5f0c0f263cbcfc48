"""The training state: one plain nested dict of arrays, and the plan of how it is made and laid out.

``{"params", "stats", "optimizer", "step"}``: parameters, batch statistics, optimizer state of the
trainable parameters, and the number of optimizer steps done. Nothing random is in it: every key is
folded from the run's seed and the step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from ovs_jax import parallel
from ovs_jax.nn import functional
from ovs_jax.nn.attention import KERNEL_DEVIATION
from ovs_jax.training import optimizer
from ovs_jax.training.optimizer import OptimizerConfig

State = functional.Tree


@dataclass(frozen=True)
class Plan:
    """Everything about a training state except its values.

    Attributes:
      build: makes the model from its random streams.
      static: what the model is, without its arrays.
      mesh: the devices.
      frozen: patterns of parameters without gradients.
      transform: the optimizer of the trainable parameters.
      schedule: the learning rate by step.
      shapes: the state with shape, dtype and sharding in place of every array; the target of a
        restore.
    """

    build: Callable[[nnx.Rngs], nnx.Module]
    static: functional.Static
    mesh: Mesh
    frozen: tuple[str, ...]
    transform: optax.GradientTransformation
    schedule: optax.Schedule
    shapes: State

    @property
    def shardings(self) -> State:
        """Where every array of the state lies."""
        return jax.tree.map(lambda leaf: leaf.sharding, self.shapes)


def plan(
    build: Callable[[nnx.Rngs], nnx.Module],
    *,
    mesh: Mesh,
    config: OptimizerConfig,
    schedule: optax.Schedule,
    rules: Sequence[parallel.Rule] = parallel.DEFAULT_RULES,
) -> Plan:
    """Works out shapes and layout of a training state; computes no values.

    Args:
      build: makes the model from its random streams.
      mesh: from `parallel.make_mesh`.
      config: the optimizer and its rules.
      schedule: the learning rate by step.
      rules: layout of the parameters.

    Returns:
      The plan.

    Raises:
      ValueError: a rule of the optimizer or of the layout does not fit the model.
    """
    static, params, stats = functional.abstract(build)
    trainable, _ = optimizer.split(params, config.frozen)
    transform = optimizer.adamw(trainable, config, schedule=schedule)
    shapes = {
        "params": params,
        "stats": stats,
        "optimizer": jax.eval_shape(transform.init, trainable),
        "step": jax.ShapeDtypeStruct((), jnp.int32),
    }
    layout = parallel.state_shardings(shapes, mesh, rules=rules)
    placed = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        layout,
    )
    return Plan(build, static, mesh, config.frozen, transform, schedule, placed)


def scratch(
    plan: Plan, seed: int, *, kernels: Literal["published", "fan_in"] = "published"
) -> State:
    """A state at step 0 with freshly drawn parameters.

    The values depend on the seed only, not on the layout. A momentum encoder starts as a copy of
    the image encoder.

    Args:
      plan: from `plan`.
      seed: seed of the initial values.
      kernels: ``fan_in`` gives every dense layer's kernel a standard deviation of
        1 / sqrt(inputs) in place of the published 0.02, which starves narrow models of signal.

    Returns:
      The state, every array where the plan says.
    """

    def draw(key: jax.Array) -> functional.Tree:
        _, params, stats = functional.init(plan.build, key)
        if kernels == "fan_in":
            params = _widened(params)
        if "momentum_encoder" in params:
            params["momentum_encoder"] = params["image_encoder"]
        # Arrays made from Python numbers are weakly typed, for which the step would be compiled
        # once more.
        weights = {"params": params, "stats": stats}
        return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), weights)

    layout = {name: plan.shardings[name] for name in ("params", "stats")}
    return begin(plan, jax.jit(draw, out_shardings=layout)(jax.random.key(seed)))


def begin(plan: Plan, weights: functional.Tree) -> State:
    """A state at step 0 with given weights.

    Args:
      plan: from `plan`.
      weights: ``{"params", "stats"}``, every array where the plan says.
    """

    def zeros() -> functional.Tree:
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), trainable(plan))
        return {"optimizer": plan.transform.init(empty), "step": jnp.zeros((), jnp.int32)}

    layout = {name: plan.shardings[name] for name in ("optimizer", "step")}
    return {**weights, **jax.jit(zeros, out_shardings=layout)()}


def _widened(params: functional.Tree) -> functional.Tree:
    """Dense kernels drawn with `KERNEL_DEVIATION`, brought to 1 / sqrt(inputs)."""
    flat = functional.paths(params)
    for path, leaf in flat.items():
        if path.endswith("/kernel"):
            flat[path] = leaf / (KERNEL_DEVIATION * leaf.shape[0] ** 0.5)
    return functional.nest(flat)


def trainable(plan: Plan) -> functional.Tree:
    """The shapes of the parameters that get gradients."""
    return optimizer.split(plan.shapes["params"], plan.frozen)[0]
