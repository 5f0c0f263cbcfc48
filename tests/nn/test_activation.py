import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.nn.activation import ACTIVATIONS, gelu, quick_gelu

X = np.linspace(-6, 6, 97, dtype=np.float32)


def test_gelu_is_the_exact_one_with_the_error_function():
    expected = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in X.tolist()]
    np.testing.assert_allclose(gelu(jnp.asarray(X)), expected, atol=1e-6)


def test_gelu_is_not_the_tanh_approximation():
    difference = np.abs(gelu(jnp.asarray(X)) - jax.nn.gelu(jnp.asarray(X), approximate=True))
    assert difference.max() > 4e-4


def test_quick_gelu_is_clips():
    expected = [x / (1 + math.exp(-1.702 * x)) for x in X.tolist()]
    np.testing.assert_allclose(quick_gelu(jnp.asarray(X)), expected, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_activation_keeps_the_dtype_and_large_values(name, dtype):
    x = jnp.asarray([-30.0, 0.0, 30.0], dtype)
    y = ACTIVATIONS[name](x)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y.astype(jnp.float32), [0.0, 0.0, 30.0], atol=1e-6)
