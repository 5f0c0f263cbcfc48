"""Noise of training. Keys come with the call; without a key nothing is random."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def dropout(
    x: Float[Array, "*s"], rate: float, *, key: Key[Array, ""] | None
) -> Float[Array, "*s"]:
    """Sets a share of the values to zero and scales the others up (Srivastava et al., 2014)."""
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))


def drop_path(
    x: Float[Array, "b *s"], rate: float, *, key: Key[Array, ""] | None
) -> Float[Array, "b *s"]:
    """Drops the residual branch of whole samples (stochastic depth, Huang et al., 2016)."""
    if key is None or rate == 0.0:
        return x
    shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    keep = jax.random.bernoulli(key, 1.0 - rate, shape)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))


def split(key: Key[Array, ""] | None, count: int) -> list[Key[Array, ""] | None]:
    """Splits a key, or hands on its absence."""
    return [None] * count if key is None else list(jax.random.split(key, count))
