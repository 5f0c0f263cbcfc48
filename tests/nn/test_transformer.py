import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from ovs_jax.nn import functional
from ovs_jax.nn.transformer import Block, CrossBlock, Mlp, TokenMlp

WIDTH, HEADS = 8, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, WIDTH)).astype(np.float32)
MEMORY = RNG.normal(size=(3, 4, WIDTH)).astype(np.float32)


def taken_apart(build):
    """Static part, and parameters moved away from their initial zeros and ones."""
    static, params, _ = functional.abstract(build)
    rng = np.random.default_rng(1)
    flat = {
        name: (rng.normal(0, 0.4, leaf.shape) + name.endswith("scale")).astype(np.float32)
        for name, leaf in functional.paths(params).items()
    }
    return static, functional.nest(flat)


def dense(params, x):
    return x @ params["kernel"].astype(np.float64) + params["bias"]


def mlp(params, x):
    hidden = dense(params["hidden"], x)
    return dense(params["out"], hidden * (1 + erf(hidden / math.sqrt(2))) / 2)


def norm(params, x):
    unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return unit * params["scale"] + params["bias"]


def attention(params, queries, keys):
    def heads(name, x):
        return dense(params[name], x).reshape(*x.shape[:2], HEADS, -1)

    q, k, v = heads("query", queries), heads("key", keys), heads("value", keys)
    logits = np.einsum("bqhc,bkhc->bhqk", q, k) / math.sqrt(WIDTH // HEADS)
    share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return dense(params["out"], np.einsum("bhqk,bkhc->bqhc", share, v).reshape(queries.shape))


@pytest.fixture(scope="module")
def block():
    return taken_apart(lambda rngs: Block(WIDTH, HEADS, rngs=rngs))


@pytest.fixture(scope="module")
def run_block(block):
    static, params = block
    return jax.jit(lambda x, key=None: functional.bind(static, params, {})(x, key=key, rate=0.5))


def test_a_block_norms_before_attention_and_before_the_mlp(block, run_block):
    params = block[1]
    x = X.astype(np.float64)
    seen = norm(params["attention_norm"], x)
    x = x + attention(params["attention"], seen, seen)
    expected = x + mlp(params["mlp"], norm(params["mlp_norm"], x))
    np.testing.assert_allclose(run_block(X), expected, atol=1e-5)


def test_a_cross_block_norms_nothing_before_its_attention_and_everything_at_the_end():
    static, params = taken_apart(lambda rngs: CrossBlock(WIDTH, HEADS, rngs=rngs))
    x = X.astype(np.float64)
    x = x + attention(params["attention"], x, MEMORY.astype(np.float64))
    expected = norm(params["out_norm"], x + mlp(params["mlp"], norm(params["mlp_norm"], x)))
    y = jax.jit(lambda x, m: functional.bind(static, params, {})(x, m))(X, MEMORY)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_a_token_mlp_mixes_tokens_and_never_channels():
    static, params = taken_apart(lambda rngs: TokenMlp(5, 6, 2, rngs=rngs))
    run = jax.jit(lambda x: functional.bind(static, params, {})(x))
    y = run(X)
    expected = mlp(params["mlp"], X.astype(np.float64).swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    changed = X.copy()
    changed[..., 0] += 1.0
    np.testing.assert_array_equal(run(changed)[..., 1:], y[..., 1:])


def test_stochastic_depth_drops_whole_branches_of_single_samples(run_block):
    """At a rate of one half a sample keeps none, either or both branches, at twice the size."""
    many = np.repeat(X[:1], 64, axis=0)
    y = np.asarray(run_block(many, jax.random.key(0)))
    kinds = np.unique(y.round(4), axis=0)
    assert len(kinds) == 4
    assert any(np.allclose(kind, X[0], atol=1e-4) for kind in kinds)


def test_the_same_key_gives_the_same_noise(run_block):
    key = jax.random.key(5)
    np.testing.assert_array_equal(run_block(X, key), run_block(X, key))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu", 2.0), ("gelu", 2 * 0.9772498680518208), ("quick_gelu", 2 / (1 + math.exp(-3.404)))],
)
def test_an_mlp_uses_the_activation_it_was_given(activation, expected):
    static, params, _ = functional.abstract(
        lambda rngs: Mlp(1, 1, 1, activation=activation, rngs=rngs)
    )
    one = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    assert params.keys() == {"hidden", "out"}
    y = functional.bind(static, {"hidden": one, "out": one}, {})(jnp.asarray([[2.0]]))
    np.testing.assert_allclose(y, [[expected]], rtol=1e-6)
