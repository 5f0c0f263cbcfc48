"""One-to-one matching on the device.

A cost that is not finite would make the solver return an arbitrary answer without saying so. Such
pairs are given a cost above any sum of finite ones instead: the result is always one-to-one, and
pairs with finite costs are still matched at their optimum.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

UNMATCHED = -1


def match_maps(cost: Float[Array, "b g g"]) -> Int[Array, "b g"]:
    """Finds, for every image, the one-to-one matching of least total cost.

    Args:
      cost: cost of matching row ``i`` with column ``j``.

    Returns:
      For each row the column it is matched with. No gradient passes.
    """

    def match(image: Float[Array, "g g"]) -> Int[Array, " g"]:
        rows, columns = _solve(image, jnp.isfinite(image))
        return jnp.zeros(image.shape[0], jnp.int32).at[rows].set(columns)

    return jax.vmap(match)(jax.lax.stop_gradient(cost))


def match_targets(cost: Float[Array, "b *s q n"]) -> Int[Array, "b *s n"]:
    """Finds, for every image, a query of its own for each target, at the least total cost.

    Images have different numbers of targets. A column that is ``+inf`` throughout stands for no
    target; where every image has the same number of columns, one program serves them all.

    Args:
      cost: cost of giving query ``i`` to target ``j``.

    Returns:
      For each target its query; -1 for columns that are none, and for the targets that are left
      over where there are more than queries. No gradient passes.
    """

    def match(image: Float[Array, "q n"]) -> Int[Array, " n"]:
        absent = jnp.all(jnp.isposinf(image), axis=0)
        rows, columns = _solve(image, jnp.isfinite(image), spare=absent)
        queries = jnp.full(image.shape[1], UNMATCHED, jnp.int32).at[columns].set(rows)
        return jnp.where(absent, UNMATCHED, queries)

    for _ in range(cost.ndim - 2):
        match = jax.vmap(match)
    return match(jax.lax.stop_gradient(cost))


def _solve(
    cost: Float[Array, "r c"], finite: Bool[Array, "r c"], *, spare: Bool[Array, " c"] | None = None
) -> tuple[Int[Array, " m"], Int[Array, " m"]]:
    """Pairs of row and column, as many as the shorter side has.

    ``spare`` columns may take whatever rows the others leave.
    """
    low = jnp.min(cost, where=finite, initial=jnp.inf)
    high = jnp.max(cost, where=finite, initial=-jnp.inf)
    # Costs count from the lowest one, which changes no matching and keeps the forbidden cost of a
    # useful size.
    span = jnp.where(jnp.any(finite), high - low, 0.0)
    forbidden = min(cost.shape) * span + 1.0
    cost = jnp.where(finite, cost - low, forbidden)
    if spare is not None and cost.shape[0] >= cost.shape[1]:
        # There is a row for every column, so spare ones take none away. A small cost for them keeps
        # the rounding of the solver's sums small.
        cost = jnp.where(spare[None, :], 0.0, cost)
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return rows.astype(jnp.int32), columns.astype(jnp.int32)
