import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.models.groupvit.grouping import GroupAssignment, GroupingBlock, straight_through
from ovs_jax.nn import functional

WIDTH = 6
RNG = np.random.default_rng(0)
GROUPS, TOKENS = (RNG.normal(size=(2, n, WIDTH)).astype(np.float32) for n in (3, 5))
NOISE = RNG.gumbel(size=(2, 3, 5)).astype(np.float32) * 3
WEIGHT = RNG.normal(size=(2, 3, 5)).astype(np.float32)


def assignment(*, hard):
    """One program for outputs and gradients; all matrices random, so that nothing is symmetric."""
    static, params, _ = functional.abstract(
        lambda rngs: GroupAssignment(WIDTH, hard=hard, rngs=rngs)
    )
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params)
    run = jax.jit(lambda g, t, noise: functional.bind(static, params, {})(g, t, gumbel=noise))
    return params, run


@pytest.fixture(scope="module")
def hard():
    return assignment(hard=True)


@pytest.fixture(scope="module")
def soft():
    return assignment(hard=False)


def dense(layer, x):
    return x.astype(np.float64) @ layer["kernel"] + layer["bias"]


def softmax_over_groups(params, noise=0.0):
    query, key = dense(params["query"], GROUPS), dense(params["key"], TOKENS)
    logits = np.einsum("bgd,bnd->bgn", query, key) / np.sqrt(WIDTH) + noise
    share = np.exp(logits - logits.max(1, keepdims=True))
    return share / share.sum(1, keepdims=True)


def merged(params, share):
    weights = share / (share.sum(-1, keepdims=True) + 1)
    return dense(params["out"], weights @ dense(params["value"], TOKENS))


@pytest.mark.parametrize("noise", [np.zeros_like(NOISE), NOISE], ids=["silent", "noisy"])
def test_tokens_go_to_their_best_group_and_groups_divide_by_their_size_and_one(hard, noise):
    params, run = hard
    groups, result = run(GROUPS, TOKENS, noise)
    expected = softmax_over_groups(params, noise)
    one_hot = expected.argmax(1)[:, None] == np.arange(3)[None, :, None]
    np.testing.assert_allclose(result.soft, expected, atol=1e-5)
    np.testing.assert_allclose(result.hard, one_hot, atol=1e-6)
    np.testing.assert_allclose(groups, merged(params, one_hot), atol=1e-5)


def test_the_soft_option_merges_by_the_shares_themselves(soft):
    params, run = soft
    groups, result = run(GROUPS, TOKENS, np.zeros_like(NOISE))
    np.testing.assert_array_equal(result.hard, result.soft)
    np.testing.assert_allclose(groups, merged(params, softmax_over_groups(params)), atol=1e-5)


def test_a_group_without_tokens_gets_the_output_bias_alone(hard):
    params, run = hard
    noise = np.zeros_like(NOISE)
    noise[:, 1] = -1e4
    groups, result = run(GROUPS, TOKENS, noise)
    assert np.abs(result.hard[:, 1]).max() == 0
    np.testing.assert_allclose(groups[:, 1], np.tile(params["out"]["bias"], (2, 1)), atol=1e-6)


def test_queries_and_keys_are_handed_out_unscaled(hard):
    params, run = hard
    _, result = run(GROUPS, TOKENS, NOISE)
    np.testing.assert_allclose(result.query, dense(params["query"], GROUPS), atol=1e-5)
    np.testing.assert_allclose(result.key, dense(params["key"], TOKENS), atol=1e-5)


def test_of_equal_groups_the_first_wins():
    soft = jnp.asarray([[[0.2, 0.4], [0.4, 0.4], [0.4, 0.2]]])
    np.testing.assert_array_equal(straight_through(soft), [[[0, 1], [1, 0], [0, 0]]])


def test_a_hard_assignment_is_exactly_zero_or_one():
    soft = jax.nn.softmax(jnp.asarray(NOISE), axis=1)
    hard = np.asarray(straight_through(soft))
    np.testing.assert_allclose(hard.sum(1), 1.0, atol=1e-6)
    assert ((np.abs(hard) < 1e-6) | (np.abs(hard - 1) < 1e-6)).all()


def test_the_gradient_of_a_hard_assignment_is_that_of_the_soft_one():
    logits = jnp.asarray(NOISE)

    def loss(logits, choose):
        return jnp.sum(choose(jax.nn.softmax(logits, axis=1)) * WEIGHT)

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    expected = gradient(logits, lambda soft: soft)
    np.testing.assert_allclose(gradient(logits, straight_through), expected, atol=1e-6)
    assert np.abs(expected).max() > 0.01


def block(residual):
    static, params, _ = functional.abstract(
        lambda rngs: GroupingBlock(
            WIDTH, 2, group_tokens=4, output_groups=3, hard=True, residual=residual, rngs=rngs
        )
    )
    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params)

    def run(tokens, groups):
        merged, result = functional.bind(static, params, {})(tokens, groups, gumbel=None)
        return merged, result.hard

    return params, jax.jit(run)


GROUP_TOKENS = RNG.normal(size=(2, 4, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("residual", ["groups", "tokens"])
def test_a_grouping_block_turns_group_tokens_into_the_asked_number_of_groups(residual):
    params, run = block(residual)
    merged, hard = run(TOKENS, GROUP_TOKENS)
    assert merged.shape == (2, 3, WIDTH)
    assert hard.shape == (2, 3, 5)
    assert ("own" in params) == (residual == "tokens")


def test_with_a_token_residual_a_group_tells_of_its_own_tokens_only():
    """A token may change while the assignment stays: only its own group notices."""
    _, run = block("tokens")
    merged, hard = run(TOKENS, GROUP_TOKENS)
    changed = TOKENS.copy()
    changed[:, 0] += 1e-2 * RNG.normal(size=WIDTH)
    merged_after, hard_after = run(changed, GROUP_TOKENS)
    np.testing.assert_allclose(hard, hard_after, atol=1e-6)
    moved = np.abs(merged_after - merged).max(-1) > 1e-6
    np.testing.assert_array_equal(moved, np.asarray(hard)[:, :, 0] > 0.5)
