"""One optimizer step, compiled as one program.

The program keeps the master parameters, the moments, the batch statistics, norms, softmaxes and
losses in float32; with ``dtype="bfloat16"`` the parameters (temperatures excepted) and the images
are rounded when the model is put together. Images come as 8-bit pixels, where nothing but their
normalisation is left to do, and are normalised here: that is a quarter of the bytes to move.
Gradients are summed over the devices in that dtype and added to float32 moments and parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ovs_jax import parallel
from ovs_jax.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from ovs_jax.nn import functional
from ovs_jax.nn.execution import AttentionName, Execution, Remat
from ovs_jax.training import optimizer
from ovs_jax.training.objectives import Objective, PartedObjective
from ovs_jax.training.state import Plan, State
from ovs_jax.typing import Batch

Metrics = dict[str, jax.Array]
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclass(frozen=True)
class StepConfig:
    """How a step computes.

    Attributes:
      seed: of all noise in training; step s uses ``fold_in(seed, s)``.
      dtype: ``float32`` or ``bfloat16``, the dtype of the model's computation.
      accumulate: parts of the batch whose gradients are averaged before the update, to save memory.
      negatives: what contrastive losses compare a row with, where there are several parts.
        ``part``: with the rows of its part; BatchNorm sees one part only too, and a loss that is
        summed over the batch is divided by the number of parts, so that the result is not that of
        the whole batch at once. ``batch``: with all rows, as if there were one part (noise
        excepted); every part is then computed twice.
      momentum: weight of the old value when the momentum encoder follows the image encoder.
      remat: what transformer layers keep for the backward pass; see `nn.execution.Execution`.
      scan: whether equal layers run as a loop; see there.
      attention: how attention is computed; see there.
    """

    seed: int = 0
    dtype: str = "float32"
    accumulate: int = 1
    negatives: Literal["part", "batch"] = "part"
    momentum: float = 0.99
    remat: Remat = "none"
    scan: bool = False
    attention: AttentionName = "xla"

    @property
    def execution(self) -> Execution:
        """How the layers of the model are run."""
        return Execution(self.remat, self.scan, self.attention)


def make_step(
    plan: Plan, objective: Objective, config: StepConfig
) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """Compiles the step when it is first called.

    Args:
      plan: of the state.
      objective: loss and metrics of a model on a batch.
      config: precision, accumulation and seed.

    Returns:
      A function ``(state, batch) -> (state, metrics)`` that takes the state's memory over. Where
      the loss or a gradient is not finite, nothing but ``step`` is changed. ``metrics`` holds
      float32 scalars: ``loss``, the objective's own, ``gradient_norm`` before clipping,
      ``learning_rate``, and ``finite`` (1, or 0 where there was no update).

    Raises:
      ValueError: an unknown dtype, an impossible number of parts, or an objective that cannot be
        computed from parts as ``negatives`` asks.
    """
    if config.dtype not in DTYPES:
        raise ValueError(f"step.dtype: expected one of {sorted(DTYPES)}, got '{config.dtype}'")
    if config.accumulate < 1:
        raise ValueError(f"step.accumulate: expected at least 1, got {config.accumulate}")
    if config.negatives == "batch" and config.accumulate > 1:
        if not isinstance(objective, PartedObjective):
            raise ValueError("step.negatives: 'batch' in parts is not possible with this objective")
        objective.check_parts()
    return jax.jit(
        _Program(plan, objective, config).step,
        in_shardings=(plan.shardings, parallel.batch_sharding(plan.mesh)),
        out_shardings=(plan.shardings, parallel.replicated(plan.mesh)),
        donate_argnums=0,
    )


@dataclass(frozen=True, eq=False)
class _Program:
    """What is compiled; see `make_step`."""

    plan: Plan
    objective: Objective
    config: StepConfig

    def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """The whole step."""
        plan = self.plan
        trainable, frozen = optimizer.split(state["params"], plan.frozen)
        with parallel.visible(plan.mesh):
            grads, (metrics, stats) = self._gradients(trainable, frozen, state, batch)
        updates, moments = plan.transform.update(grads, state["optimizer"], trainable)
        params = optimizer.join(jax.tree.map(jnp.add, trainable, updates), frozen)
        params = follow(params, self.config.momentum)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        metrics |= {
            "gradient_norm": norm,
            "learning_rate": jnp.asarray(plan.schedule(state["step"])),
            "finite": finite.astype(jnp.float32),
        }
        new = {"params": params, "stats": stats, "optimizer": moments}
        old = {name: state[name] for name in new}
        kept = jax.tree.map(lambda one, other: jnp.where(finite, one, other), new, old)
        # Batches and noise follow the step, so it counts those without an update too.
        return {**kept, "step": state["step"] + 1}, metrics

    def _gradients(
        self, trainable: functional.Tree, frozen: functional.Tree, state: State, batch: Batch
    ) -> tuple[functional.Tree, tuple[Metrics, functional.Tree]]:
        """Gradients, metrics and statistics of the whole batch, or averaged over its parts."""
        count = self.config.accumulate
        differentiate = jax.value_and_grad(self._loss, has_aux=True)
        key = jax.random.fold_in(jax.random.key(self.config.seed), state["step"])
        if count == 1:
            (_, aux), grads = differentiate(trainable, frozen, state["stats"], batch, key)
            return grads, aux
        if self.config.negatives == "batch":
            return self._cached(trainable, frozen, state["stats"], batch, key)

        def add(carry: Any, part: Any) -> tuple[Any, Metrics]:
            total, stats = carry
            index, rows = part
            part_key = jax.random.fold_in(key, index)
            (_, (metrics, stats)), grads = differentiate(trainable, frozen, stats, rows, part_key)
            return (jax.tree.map(jnp.add, total, grads), stats), metrics

        parts = parallel.microbatches(batch, count, mesh=self.plan.mesh)
        start = jax.tree.map(jnp.zeros_like, trainable), state["stats"]
        (total, stats), metrics = jax.lax.scan(add, start, (jnp.arange(count), parts))
        mean = jax.tree.map(lambda x: x / count, total)
        return mean, (jax.tree.map(lambda x: jnp.mean(x, 0), metrics), stats)

    def _cached(
        self,
        trainable: functional.Tree,
        frozen: functional.Tree,
        stats: functional.Tree,
        batch: Batch,
        key: jax.Array,
    ) -> tuple[functional.Tree, tuple[Metrics, functional.Tree]]:
        """Gradients of the whole batch from its parts, in two passes (Gao et al., 2021).

        The first pass keeps the features of every row and nothing else, the loss gives the gradient
        of each of them, and the second pass computes every part again to carry it on.
        """
        plan, count = self.plan, self.config.accumulate
        objective = cast(PartedObjective, self.objective)  # `make_step` has seen to it

        def features(trainable: functional.Tree, rows: Batch, index: jax.Array) -> Any:
            model, rows = self._bound(trainable, frozen, stats, rows)
            return objective.features(model, rows, jax.random.fold_in(key, index))

        def encode(_: None, part: Any) -> tuple[None, Any]:
            index, rows = part
            return None, features(trainable, rows, index)

        def compare(trainable: functional.Tree, pooled: Any) -> Any:
            model, rows = self._bound(trainable, frozen, stats, batch)
            loss, metrics = objective.compare(model, pooled, rows)
            return loss, ({"loss": loss} | metrics, _statistics(model, stats))

        def carry_on(total: functional.Tree, part: Any) -> tuple[functional.Tree, None]:
            index, rows, pull = part
            _, back = jax.vjp(lambda weights: features(weights, rows, index)[0], trainable)
            return jax.tree.map(jnp.add, total, back(pull)[0]), None

        numbers = jnp.arange(count)
        parts = parallel.microbatches(batch, count, mesh=plan.mesh)
        _, (found, seen) = jax.lax.scan(encode, None, (numbers, parts))
        pooled = parallel.whole_batch(found, mesh=plan.mesh)
        differentiate = jax.value_and_grad(compare, argnums=(0, 1), has_aux=True)
        (_, (metrics, stats)), (grads, pulls) = differentiate(trainable, pooled)
        pulls = parallel.microbatches(pulls, count, mesh=plan.mesh)
        grads, _ = jax.lax.scan(carry_on, grads, (numbers, parts, pulls))
        metrics |= jax.tree.map(lambda x: jnp.mean(x, 0), seen)
        return grads, (_wide(metrics), stats)

    def _bound(
        self,
        trainable: functional.Tree,
        frozen: functional.Tree,
        stats: functional.Tree,
        batch: Batch,
    ) -> tuple[Any, Batch]:
        """The model put together, and a batch, normalised and in the precision of the step."""
        dtype = DTYPES[self.config.dtype]
        params = lower_precision(optimizer.join(trainable, frozen), dtype)
        model = functional.bind(
            self.plan.static, params, stats, train=True, execution=self.config.execution
        )
        return model, lower_precision(normalized(batch), dtype)

    def _loss(
        self,
        trainable: functional.Tree,
        frozen: functional.Tree,
        stats: functional.Tree,
        batch: Batch,
        key: jax.Array,
    ) -> tuple[jax.Array, tuple[Metrics, functional.Tree]]:
        model, rows = self._bound(trainable, frozen, stats, batch)
        loss, metrics = self.objective(model, rows, key)
        return loss, (_wide({"loss": loss} | metrics), _statistics(model, stats))


def _statistics(model: Any, old: functional.Tree) -> functional.Tree:
    """What a bound model has recorded, in the dtypes of the state."""
    new = functional.batch_statistics(model)
    return jax.tree.map(lambda new, old: new.astype(old.dtype), new, old)


def _wide(metrics: Metrics) -> Metrics:
    return jax.tree.map(lambda value: value.astype(jnp.float32), metrics)


def follow(params: functional.Tree, momentum: float) -> functional.Tree:
    """Moves the momentum encoder, if there is one, towards the image encoder.

    Args:
      params: all parameters, after the optimizer's update.
      momentum: weight of the old value (0.99 in OVSegmentor).

    Returns:
      The parameters with ``momentum_encoder`` averaged.
    """
    if "momentum_encoder" not in params:
        return params
    moved = jax.tree.map(
        lambda old, new: momentum * old + (1 - momentum) * new,
        params["momentum_encoder"],
        params["image_encoder"],
    )
    return params | {"momentum_encoder": moved}


def normalized(batch: Batch) -> Batch:
    """A batch whose 8-bit images are normalised, as by `data.transforms.normalize`."""
    mean, std = (
        np.asarray(values, np.float32)[None, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
    )

    def normalize(leaf: jax.Array) -> jax.Array:
        return (leaf.astype(jnp.float32) - mean) / std if leaf.dtype == jnp.uint8 else leaf

    return jax.tree.map(normalize, batch)


def lower_precision(tree: functional.Tree, dtype: Any) -> functional.Tree:
    """Rounds the floating-point arrays of a tree, scalars (temperatures) excepted, to a dtype."""

    def lower(leaf: jax.Array) -> jax.Array:
        return (
            leaf.astype(dtype) if leaf.ndim and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        )

    return jax.tree.map(lower, tree)
