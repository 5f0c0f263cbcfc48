import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ovs_jax.nn import functional
from ovs_jax.nn.attention import Attention

WIDTH, HEADS = 12, 3
PARTS = functional.init(lambda rngs: Attention(WIDTH, HEADS, rngs=rngs), jax.random.key(0))
RNG = np.random.default_rng(0)
QUERIES, KEYS = (RNG.normal(size=(2, n, WIDTH)).astype(np.float32) for n in (4, 6))


def perturbed(tree, rng):
    """Biases start at zero, where a forgotten one would not show."""
    return jax.tree.map(lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), tree)


PARAMS = perturbed(PARTS[1], RNG)


@jax.jit
def attend(queries, keys, mask=None):
    return functional.bind(PARTS[0], PARAMS, {})(queries, keys, mask=mask)


def expected(queries, keys, mask=None, values=None):
    """One head and one query at a time, in float64."""

    def project(name, x):
        layer = {k: np.asarray(v, np.float64) for k, v in PARAMS[name].items()}
        return x.astype(np.float64) @ layer["kernel"] + layer["bias"]

    q, k, v = (
        project("query", queries),
        project("key", keys),
        project("value", keys if values is None else values),
    )
    size = WIDTH // HEADS
    answer = np.zeros_like(q)
    for b in range(q.shape[0]):
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for i in range(q.shape[1]):
                logits = k[b, :, part] @ q[b, i, part] / np.sqrt(size)
                share = np.exp(logits - logits.max())
                if mask is not None:
                    share = share * mask[b, 0, i]
                answer[b, i, part] = share / share.sum() @ v[b, :, part]
    return project("out", answer)


def test_attention_equals_a_softmax_written_out():
    np.testing.assert_allclose(attend(QUERIES, KEYS), expected(QUERIES, KEYS), atol=1e-5)


def test_a_mask_hides_keys_for_each_query():
    mask = RNG.random((2, 1, 4, 6)) < 0.5
    mask[..., 0] = True
    np.testing.assert_allclose(
        attend(QUERIES, KEYS, mask), expected(QUERIES, KEYS, mask), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(1, 1, 1, 6), (2, 1, 1, 6), (1, 1, 4, 6)])
def test_a_mask_may_be_shared_by_samples_or_queries(shape):
    mask = RNG.random(shape) < 0.5
    mask[..., 0] = True
    whole = np.broadcast_to(mask, (2, 1, 4, 6))
    np.testing.assert_allclose(
        attend(QUERIES, KEYS, mask), expected(QUERIES, KEYS, whole), atol=1e-5
    )


def test_a_hidden_key_never_changes_an_answer():
    mask = np.ones((1, 1, 1, 6), bool)
    mask[..., 4:] = False
    other = KEYS.copy()
    other[:, 4:] = 1e3
    np.testing.assert_array_equal(attend(QUERIES, KEYS, mask), attend(QUERIES, other, mask))


def test_low_precision_comes_back_as_it_came():
    cast = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), tree)  # noqa: E731
    run = jax.jit(lambda p, q, k: functional.bind(PARTS[0], p, {})(q, k))
    answer = run(cast(PARAMS), cast(QUERIES), cast(KEYS))
    assert answer.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        answer.astype(jnp.float32), expected(QUERIES, KEYS), atol=0.1, rtol=0.05
    )


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width 10 is not a multiple of heads 3"):
        Attention(10, 3, rngs=nnx.Rngs(0))


def test_values_may_differ_from_keys():
    values = RNG.normal(size=KEYS.shape).astype(np.float32)
    attended = jax.jit(lambda q, k, v: functional.bind(PARTS[0], PARAMS, {})(q, k, values=v))(
        QUERIES, KEYS, values
    )
    np.testing.assert_allclose(attended, expected(QUERIES, KEYS, values=values), atol=1e-5)


def test_dropout_hits_the_attention_and_only_with_a_key():
    mask = np.ones((1, 1, 1, 6), bool)
    mask[..., 4:] = False

    def attend(rate, key):
        static = functional.abstract(lambda rngs: Attention(WIDTH, HEADS, dropout=rate, rngs=rngs))[
            0
        ]
        return functional.bind(static, PARAMS, {})(
            jnp.asarray(QUERIES), jnp.asarray(KEYS), mask=jnp.asarray(mask), key=key
        )

    key = jax.random.key(0)
    whole = np.broadcast_to(mask, (2, 1, 4, 6))
    plain = expected(QUERIES, KEYS, whole)
    np.testing.assert_allclose(attend(0.5, None), plain, atol=1e-5)
    np.testing.assert_allclose(attend(1e-9, key), plain, atol=1e-5)
    assert np.abs(attend(0.5, key) - plain).max() > 0.1
