import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ovs_jax.losses.matching import match_maps, match_targets

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


targets_of = jax.jit(match_targets)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31 - 1),
    shape=st.sampled_from([(6, 4), (3, 5), (4, 4)]),
    ties=st.booleans(),
)
def test_targets_get_queries_at_the_least_total_cost_whatever_their_number(seed, shape, ties):
    rng = np.random.default_rng(seed)
    size = (2, 3, *shape)
    cost = (rng.integers(0, 3, size) if ties else rng.uniform(-40, 40, size)).astype(np.float32)
    counts = rng.integers(0, shape[1] + 1, size[:2])
    padded = np.where(np.arange(shape[1]) < counts[..., None, None], cost, np.inf)
    found = np.asarray(targets_of(jnp.asarray(padded)))
    for place in np.ndindex(2, 3):
        own, count = found[place], counts[place]
        assert (own[count:] == -1).all()
        taken = own[:count][own[:count] >= 0]
        assert len(set(taken.tolist())) == len(taken) == min(count, shape[0])
        rows, columns = linear_sum_assignment(cost[place][:, :count])
        best = cost[place][rows, columns].sum()
        columns = np.flatnonzero(own[:count] >= 0)
        np.testing.assert_allclose(cost[place][taken, columns].sum(), best, atol=1e-4)


def test_the_best_of_all_injections_is_found():
    cost = np.random.default_rng(3).uniform(size=(1, 5, 3)).astype(np.float32)
    found = np.asarray(targets_of(jnp.asarray(cost)))[0]
    best = min(
        itertools.permutations(range(5), 3), key=lambda rows: cost[0][list(rows), range(3)].sum()
    )
    assert tuple(found.tolist()) == best


def test_a_query_that_costs_no_number_is_left_out_where_others_can_serve():
    cost = np.array([[[np.nan, np.nan], [1.0, 2.0], [3.0, 1.0]]], np.float32)
    assert np.asarray(targets_of(jnp.asarray(cost)))[0].tolist() == [1, 2]
