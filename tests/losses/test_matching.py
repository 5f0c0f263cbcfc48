import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ovs_jax.losses.matching import match_maps

match = jax.jit(match_maps)


def test_the_matching_equals_the_published_one(golden):
    arrays = np.load(golden / "losses/mask_ovs_mid.npz")
    assert arrays["assignment_gap"].min() > 1e-4
    np.testing.assert_array_equal(match(jnp.asarray(arrays["cost"])), arrays["idx2"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), ties=st.booleans())
def test_the_total_cost_is_the_least_possible(seed, ties):
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 3, (2, 5, 5)) if ties else rng.uniform(-2, 2, (2, 5, 5))
    found = np.asarray(match(jnp.asarray(cost, jnp.float32)))
    for each, columns in zip(cost, found, strict=True):
        rows, best = linear_sum_assignment(each)
        np.testing.assert_allclose(
            each[np.arange(5), columns].sum(), each[rows, best].sum(), atol=1e-5
        )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_costs_that_are_not_finite_still_give_the_best_permutation_of_the_finite_pairs(seed):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0, 2, (1, 5, 5)).astype(np.float32)
    bad = rng.uniform(size=cost.shape) < 0.3
    cost[bad] = rng.choice([np.nan, np.inf, -np.inf], size=int(bad.sum()))
    columns = np.asarray(match(jnp.asarray(cost)))[0]
    assert sorted(columns.tolist()) == list(range(5))

    def quality(order):
        pairs = cost[0][np.arange(5), list(order)]
        finite = np.isfinite(pairs)
        return int((~finite).sum()), float(pairs[finite].sum(dtype=np.float64))

    best = min(quality(order) for order in itertools.permutations(range(5)))
    missing, total = quality(columns)
    assert missing == best[0]
    np.testing.assert_allclose(total, best[1], atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_costs_that_are_nowhere_finite_give_a_permutation_and_spare_the_other_images(value):
    cost = np.ones((2, 4, 4), np.float32)
    cost[0] = value
    cost[1] = 1 - np.eye(4)[[2, 0, 3, 1]]
    columns = np.asarray(match(jnp.asarray(cost)))
    assert sorted(columns[0].tolist()) == list(range(4))
    assert columns[1].tolist() == [2, 0, 3, 1]
