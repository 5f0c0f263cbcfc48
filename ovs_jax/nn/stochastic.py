"""Noise of training. Keys come with the call; without a key nothing is random."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def dropout(
    x: Float[Array, "*s"], rate: float, *, key: Key[Array, ""] | None
) -> Float[Array, "*s"]:
    """Sets a share of the values to zero and scales the others up (Srivastava et al., 2014).

    Args:
      x: any array.
      rate: the share, 0 to below 1.
      key: random key; without one, ``x`` comes back as it is.
    """
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))


def drop_path(
    x: Float[Array, "b *s"], rate: float | Float[Array, ""], *, key: Key[Array, ""] | None
) -> Float[Array, "b *s"]:
    """Drops the residual branch of whole samples (stochastic depth, Huang et al., 2016).

    Args:
      x: a branch, samples first.
      rate: the probability of each sample to lose it; what is kept is scaled up by 1 / (1 - rate).
      key: random key; without one, ``x`` comes back as it is.
    """
    if key is None or (isinstance(rate, float) and rate == 0.0):
        return x
    shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    keep = jax.random.bernoulli(key, 1.0 - rate, shape)
    kept = x / jnp.asarray(1.0 - rate, x.dtype)
    return jnp.where(keep, kept, jnp.zeros_like(x))


def split(key: Key[Array, ""] | None, count: int) -> list[Key[Array, ""] | None]:
    """Splits a key, or hands on its absence."""
    return [None] * count if key is None else list(jax.random.split(key, count))
