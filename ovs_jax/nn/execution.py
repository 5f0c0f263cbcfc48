"""How layers are run: what of them is kept for the gradient, and whether as a loop.

None of it changes a result. Like `norm.BatchNorm.set_view` it is set when a model is bound, so that
parameters, their paths and checkpoints know nothing of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from ovs_jax.nn import functional
from ovs_jax.nn.stochastic import split

Remat = Literal["none", "dots", "block"]
AttentionName = Literal["xla", "cudnn", "auto"]
Layer = Callable[..., Float[Array, "b m d"]]


@dataclass(frozen=True)
class Execution:
    """How a model's layers are run.

    Attributes:
      remat: what a transformer layer keeps for the backward pass: ``none`` keeps all it needs,
        ``dots`` the results of its dense layers (attention, norms and activations are computed
        again), ``block`` its input alone.
      scan: whether equal layers run as one loop over their stacked parameters, in place of one
        after the other. The program is smaller and compiles faster; it holds a second copy of the
        parameters, in the dtype of the computation.
      attention: ``xla``; ``cudnn``, which never writes the attention weights to memory; or ``auto``
        for the second where it can be used. Where it cannot, one warning is logged.
    """

    remat: Remat = "none"
    scan: bool = False
    attention: AttentionName = "xla"


class Executed(nnx.Module):
    """A module whose way of running is set when the model is bound."""

    execution: Execution = Execution()

    def set_view(self, execution: Execution | None = None, **kwargs: object) -> dict[str, object]:
        """Called by ``nnx.view``.

        Args:
          execution: how to run from now on.
          kwargs: what other modules may want.
        """
        if execution is not None:
            self.execution = execution
        return kwargs


def run_layers(
    layers: Sequence[nnx.Module],
    x: Float[Array, "b m d"],
    *,
    call: Layer,
    execution: Execution,
    key: Key[Array, ""] | None,
    rates: Sequence[float] | None = None,
) -> Float[Array, "b m d"]:
    """Runs layers of the same sizes one after the other.

    Args:
      layers: the layers; those of a loop may differ in their parameters only.
      x: what enters the first.
      call: of a layer, its input and its key, and its rate where there are ``rates``.
      execution: how.
      key: split among the layers; None is handed on.
      rates: a number for each layer.

    Returns:
      What leaves the last.

    Raises:
      ValueError: layers that differ cannot be a loop.
    """
    keys = split(key, len(layers))
    values = [()] * len(layers) if rates is None else [(rate,) for rate in rates]
    if not execution.scan or len(layers) < 2:
        for layer, own, rate in zip(layers, keys, values, strict=True):
            run = lambda y, k, rate=rate, layer=layer: call(layer, y, k, *rate)  # noqa: E731
            x = _kept(run, execution.remat, looped=False)(x, own)
        return x
    static, arrays = functional.stack(layers)

    def body(y: Array, each: Any) -> tuple[Array, None]:
        arrays, own, rate = each
        return call(functional.unstack(static, arrays), y, own, *rate), None

    numbers = () if rates is None else (jnp.asarray(rates, jnp.float32),)
    noise = None if key is None else jax.random.split(key, len(layers))
    x, _ = jax.lax.scan(_kept(body, execution.remat, looped=True), x, (arrays, noise, numbers))
    return x


def _kept(run: Callable[..., Any], remat: Remat, *, looped: bool) -> Callable[..., Any]:
    """A layer that keeps for its gradient what the policy says."""
    if remat == "none":
        return run
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
    # Within a loop nothing can be merged with the forward pass, so nothing needs to keep XLA off.
    return jax.checkpoint(run, policy=policy, prevent_cse=not looped)
