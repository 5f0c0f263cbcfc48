import jax
import numpy as np
import pytest
from flax import nnx

from ovs_jax.nn.convolution import (
    DENSE,
    FAN_IN,
    KAIMING,
    XAVIER,
    XAVIER_QKV,
    convolution,
    dense,
)


@pytest.mark.parametrize(
    ("init", "shape", "bound"),
    [
        (FAN_IN, (3, 3, 8, 500), (3 / 72) ** 0.5),
        (DENSE, (100, 400), 0.1),
        (XAVIER, (100, 500), 0.1),
        (XAVIER_QKV, (150, 150), 0.1),
    ],
    ids=["pixel decoder", "dense", "xavier", "query, key and value"],
)
def test_uniform_initial_values_fill_their_published_range(init, shape, bound):
    values = np.abs(init(jax.random.key(0), shape))
    assert 0.99 * bound < values.max() <= bound
    np.testing.assert_allclose(values.mean(), bound / 2, rtol=0.02)


def test_residual_networks_start_with_a_variance_of_two_over_fan_out():
    values = KAIMING(jax.random.key(0), (3, 3, 64, 64))
    np.testing.assert_allclose(values.std(), (2 / (9 * 64)) ** 0.5, rtol=0.02)


def test_the_bias_of_a_dense_layer_is_drawn_too():
    bias = np.abs(dense(100, 2000, rngs=nnx.Rngs(0)).bias[...])
    assert 0.099 < bias.max() <= 0.1


@pytest.mark.parametrize(
    ("size", "stride", "expected"), [(7, 2, 16), (3, 2, 16), (1, 2, 16), (3, 1, 31)]
)
def test_padding_is_the_same_on_every_side(size, stride, expected):
    layer = convolution(1, 1, size, stride=stride, rngs=nnx.Rngs(0))
    image = np.random.default_rng(0).normal(size=(1, 31, 31, 1)).astype(np.float32)
    out = layer(image)
    assert out.shape == (1, expected, expected, 1)
    kernel = np.asarray(layer.kernel[...])[..., 0, 0]
    half = size // 2
    padded = np.pad(image[0, :, :, 0], half)
    corner = (padded[:size, :size] * kernel).sum()
    np.testing.assert_allclose(out[0, 0, 0, 0], corner, atol=1e-5)
