"""Normalisation layers whose numerics equal those the published weights were trained with."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class LayerNorm(nnx.Module):
    """Layer normalisation over the last axis, in float32, with the exact two-pass variance.

    Flax's own default variance, E[x²] - E[x]², loses two digits where the mean is large.
    """

    def __init__(self, width: int, *, eps: float) -> None:
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))
        self.eps = eps

    def __call__(self, x: Float[Array, "*s d"]) -> Float[Array, "*s d"]:
        """Returns ``x`` with zero mean and unit variance, scaled and shifted, in its dtype."""
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        unit = centred * jax.lax.rsqrt(variance + self.eps)
        return _affine(unit, self.scale[...], self.bias[...]).astype(x.dtype)


class BatchNorm(nnx.Module):
    """Batch normalisation over every axis but the last, in float32.

    Under ``jit`` with a sharded batch the statistics are those of the global batch. In training
    each call normalises with the statistics of its own input and moves the running ones, the
    variance by the unbiased estimate (n - 1), which is what published checkpoints hold.

    Attributes:
      momentum: the share of the new statistics in the running ones.
      use_batch_statistics: set by ``functional.bind``.
    """

    def __init__(self, width: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.variance = nnx.BatchStat(jnp.ones(width))
        self.eps = eps
        self.momentum = momentum
        self.use_batch_statistics = False

    def set_view(
        self, use_batch_statistics: bool | None = None, **kwargs: object
    ) -> dict[str, object]:
        """Called by ``nnx.view``.

        Args:
          use_batch_statistics: whether to use and record the statistics of the batch.
          kwargs: what other modules may want.
        """
        if use_batch_statistics is not None:
            self.use_batch_statistics = use_batch_statistics
        return kwargs

    def __call__(self, x: Float[Array, "*s d"]) -> Float[Array, "*s d"]:
        """Returns the normalised input in its dtype; in training, moves the running values."""
        wide = x.astype(jnp.float32)
        if not self.use_batch_statistics:
            mean, variance = self.mean[...], self.variance[...]
        else:
            axes = tuple(range(x.ndim - 1))
            samples = x.size // x.shape[-1]
            mean = wide.mean(axes)
            variance = jnp.square(wide - _last(mean, x.ndim)).mean(axes)
            unbiased = variance * (samples / max(samples - 1, 1))
            keep = 1.0 - self.momentum
            self.mean[...] = keep * self.mean[...] + self.momentum * jax.lax.stop_gradient(mean)
            self.variance[...] = keep * self.variance[...] + self.momentum * jax.lax.stop_gradient(
                unbiased
            )
        unit = (wide - _last(mean, x.ndim)) * _last(jax.lax.rsqrt(variance + self.eps), x.ndim)
        return _affine(unit, self.scale[...], self.bias[...]).astype(x.dtype)


class FrozenBatchNorm(nnx.Module):
    """Batch normalisation with the statistics and the affine map of published weights, all fixed.

    Nothing of it is a parameter: scale and bias, too, stand among the statistics, so that no
    optimizer, weight decay or clipping ever sees them.
    """

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        self.scale = nnx.BatchStat(jnp.ones(width))
        self.bias = nnx.BatchStat(jnp.zeros(width))
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.variance = nnx.BatchStat(jnp.ones(width))
        self.eps = eps

    def __call__(self, x: Float[Array, "*s d"]) -> Float[Array, "*s d"]:
        """Returns the normalised input in its dtype."""
        scale = self.scale[...] * jax.lax.rsqrt(self.variance[...] + self.eps)
        bias = self.bias[...] - self.mean[...] * scale
        return _affine(x.astype(jnp.float32), scale, bias).astype(x.dtype)


class GroupNorm(nnx.Module):
    """Group normalisation (Wu and He, 2018) in float32, with the exact two-pass variance.

    Raises:
      ValueError: the groups do not divide the channels.
    """

    def __init__(self, width: int, *, groups: int, eps: float = 1e-5) -> None:
        if width % groups:
            raise ValueError(f"group norm: {width} channels are not a multiple of {groups} groups")
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))
        self.groups = groups
        self.eps = eps

    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        """Returns the input with zero mean and unit variance in each group of an image."""
        wide = x.astype(jnp.float32).reshape(*x.shape[:3], self.groups, -1)
        centred = wide - wide.mean((1, 2, 4), keepdims=True)
        variance = jnp.square(centred).mean((1, 2, 4), keepdims=True)
        unit = (centred * jax.lax.rsqrt(variance + self.eps)).reshape(x.shape)
        return _affine(unit, self.scale[...], self.bias[...]).astype(x.dtype)


def _last(vector: Array, ndim: int) -> Array:
    return vector.reshape((1,) * (ndim - 1) + vector.shape)


def _affine(unit: Array, scale: Array, bias: Array) -> Array:
    wide = jnp.float32
    return unit * _last(scale.astype(wide), unit.ndim) + _last(bias.astype(wide), unit.ndim)
