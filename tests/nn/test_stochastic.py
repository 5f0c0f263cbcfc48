import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.nn.stochastic import drop_path, dropout, split

KEY = jax.random.key(0)


@pytest.mark.parametrize("noise", [dropout, drop_path])
def test_without_a_key_or_a_rate_nothing_happens(noise):
    x = jnp.arange(6.0).reshape(2, 3)
    assert noise(x, 0.5, key=None) is x
    assert noise(x, 0.0, key=KEY) is x


def test_dropout_keeps_the_expectation_and_the_asked_share():
    y = np.asarray(dropout(jnp.ones((200, 200)), 0.25, key=KEY))
    np.testing.assert_allclose(np.unique(y), [0.0, 4 / 3], rtol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert y.mean() == pytest.approx(1.0, abs=0.01)


def test_drop_path_decides_for_whole_samples():
    y = np.asarray(drop_path(jnp.ones((2000, 3, 2)), 0.25, key=KEY)).reshape(2000, -1)
    assert (y == y[:, :1]).all()
    assert (y[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert y.mean() == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("noise", [dropout, drop_path])
def test_the_dtype_stays(noise):
    assert noise(jnp.ones((4, 2), jnp.bfloat16), 0.5, key=KEY).dtype == jnp.bfloat16


def test_a_dropped_value_that_is_not_finite_leaves_no_trace():
    x = jnp.full((64, 1), jnp.inf)
    y = np.asarray(drop_path(x, 0.5, key=KEY))
    assert set(np.unique(y)) == {0.0, np.inf}


def test_a_key_is_split_into_different_ones_and_none_into_none():
    assert split(None, 3) == [None, None, None]
    keys = split(KEY, 3)
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 3
