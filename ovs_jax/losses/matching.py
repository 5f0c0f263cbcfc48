"""One-to-one matching on the device."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def match_maps(cost: Float[Array, "b g g"]) -> Int[Array, "b g"]:
    """Finds, for every image, the one-to-one matching of least total cost.

    A cost that is not finite would make the solver return an arbitrary answer without saying so.
    Such pairs are given a cost above any sum of finite ones instead: the result is always a
    permutation, and pairs with finite costs are still matched at their optimum.

    Args:
      cost: cost of matching row ``i`` with column ``j``.

    Returns:
      For each row the column it is matched with. No gradient passes.
    """
    return jax.vmap(_match)(jax.lax.stop_gradient(cost))


def _match(cost: Float[Array, "g g"]) -> Int[Array, " g"]:
    finite = jnp.isfinite(cost)
    low = jnp.min(cost, where=finite, initial=jnp.inf)
    high = jnp.max(cost, where=finite, initial=-jnp.inf)
    # Costs count from the lowest one, which changes no matching and keeps the forbidden cost of a
    # useful size.
    span = jnp.where(jnp.any(finite), high - low, 0.0)
    forbidden = cost.shape[0] * span + 1.0
    rows, columns = optax.assignment.hungarian_algorithm(jnp.where(finite, cost - low, forbidden))
    return jnp.zeros(cost.shape[0], jnp.int32).at[rows].set(columns.astype(jnp.int32))
