import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.models.zegformer.config import TransformerConfig
from ovs_jax.models.zegformer.transformer import Decoder, sine_positions
from ovs_jax.nn import functional

SIZES = TransformerConfig(queries=3, width=8, heads=2, hidden=16, decoder_layers=2, dropout=0.0)


def drawn(config):
    static, params, stats = functional.abstract(lambda rngs: Decoder(config, rngs=rngs))
    rng = np.random.default_rng(1)
    return (
        static,
        jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params),
        stats,
    )


def test_positions_tell_the_row_first_and_end_at_a_whole_turn():
    positions = sine_positions(2, 3, 8).reshape(2, 3, 8)
    # Row 1 of 2 is half a turn; frequencies of four channels are 1, 1, 1/100, 1/100.
    half, last = math.pi, 2 * math.pi
    np.testing.assert_allclose(
        positions[0, :, :4],
        np.tile(
            [math.sin(half), math.cos(half), math.sin(half / 100), math.cos(half / 100)], (3, 1)
        ),
        atol=1e-5,
    )
    np.testing.assert_allclose(
        positions[:, 2, 4:],
        np.tile(
            [math.sin(last), math.cos(last), math.sin(last / 100), math.cos(last / 100)], (2, 1)
        ),
        atol=1e-5,
    )


@pytest.mark.parametrize("pre_norm", [False, True])
def test_every_layer_is_normed_by_the_same_norm_but_the_next_sees_what_was_before_it(pre_norm):
    config = TransformerConfig(**{**vars(SIZES), "pre_norm": pre_norm})
    static, params, stats = drawn(config)
    rng = np.random.default_rng(0)
    queries, memory, positions = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((1, 3, 8), (2, 5, 8), (1, 5, 8))
    )
    run = jax.jit(lambda p: functional.bind(static, p, stats)(queries, memory, positions=positions))
    plain = run(params)
    assert plain.shape == (2, 2, 3, 8)
    doubled = params | {
        "norm": {"scale": 2 * params["norm"]["scale"], "bias": 1 + 2 * params["norm"]["bias"]}
    }
    np.testing.assert_allclose(run(doubled), 2 * plain + 1, atol=1e-5)


def test_dropout_needs_a_key():
    config = TransformerConfig(**{**vars(SIZES), "dropout": 0.5})
    static, params, stats = drawn(config)
    memory = jnp.ones((1, 4, 8))
    queries = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 8)), jnp.float32)

    @jax.jit
    def run(key):
        model = functional.bind(static, params, stats)
        return model(queries, memory, positions=jnp.zeros((1, 4, 8)), key=key)

    np.testing.assert_array_equal(run(None), run(None))
    assert np.abs(run(jax.random.key(1)) - run(jax.random.key(2))).max() > 0.1
