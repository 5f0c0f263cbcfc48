import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ovs_jax.nn import functional
from ovs_jax.nn.norm import BatchNorm, FrozenBatchNorm, GroupNorm, LayerNorm

WIDTH = 4
PARTS = functional.init(lambda rngs: BatchNorm(WIDTH), jax.random.key(0))


def draw(*shape: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 2.0, shape).astype(np.float32)


def layer_norm(x, eps=1e-5, scale=1.0, bias=0.0):
    """In float64."""
    wide = np.asarray(x, np.float64)
    unit = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + eps)
    return unit * scale + bias


@jax.jit
def evaluate(params, stats, x):
    return functional.bind(PARTS[0], params, stats)(x)


@jax.jit
def train(params, stats, *inputs):
    """Calls the same BatchNorm once an input."""
    model = functional.bind(PARTS[0], params, stats, train=True)
    return [model(x) for x in inputs], functional.batch_statistics(model)


def test_layer_norm_stays_exact_where_the_mean_is_large():
    """The one-pass variance E[x²] - E[x]² is wrong in the third digit here."""
    x = draw(3, 64, mean=200.0)
    norm = LayerNorm(64, eps=1e-5)
    np.testing.assert_allclose(norm(jnp.asarray(x)), layer_norm(x), atol=1e-5)
    one_pass = (x**2).mean(-1) - x.mean(-1) ** 2
    assert np.abs(one_pass / x.astype(np.float64).var(-1) - 1).max() > 1e-3


@pytest.mark.parametrize("eps", [1e-5, 1e-1])
def test_layer_norm_adds_eps_under_the_root_then_scales_and_shifts(eps):
    x, scale, bias = draw(2, 3, 8) * 0.1, draw(8, seed=1), draw(8, seed=2)
    norm = LayerNorm(8, eps=eps)
    norm.scale[...], norm.bias[...] = jnp.asarray(scale), jnp.asarray(bias)
    np.testing.assert_allclose(
        norm(jnp.asarray(x)), layer_norm(x, eps, scale, bias), rtol=1e-5, atol=1e-5
    )


def test_layer_norm_computes_in_float32_and_answers_in_the_dtype_it_was_given():
    x = jnp.asarray(draw(2, 64, mean=50.0), jnp.bfloat16)
    y = LayerNorm(64, eps=1e-5)(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), layer_norm(x), rtol=2**-8, atol=1e-5)


def test_batch_norm_by_hand():
    """Two samples, 1 and 3: mean 2, variance 1, unbiased variance 2."""
    x = np.tile(np.asarray([[1.0], [3.0]], np.float32), (1, WIDTH))
    (y,), stats = train(*PARTS[1:], x)
    np.testing.assert_allclose(y, np.tile([[-1.0], [1.0]], (1, WIDTH)), atol=1e-5)
    np.testing.assert_allclose(stats["mean"], 0.9 * 0 + 0.1 * 2, rtol=1e-6)
    np.testing.assert_allclose(stats["variance"], 0.9 * 1 + 0.1 * 2, rtol=1e-6)


def test_batch_norm_takes_batch_and_tokens_together():
    x = draw(5, 3, WIDTH, mean=1.0)
    (y,), stats = train(*PARTS[1:], x)
    flat = x.reshape(-1, WIDTH).astype(np.float64)
    expected = (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(stats["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["variance"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


def test_batch_norm_scales_and_shifts():
    params = {"scale": draw(WIDTH, seed=1), "bias": draw(WIDTH, seed=2)}
    x = draw(6, WIDTH)
    (plain,), _ = train(*PARTS[1:], x)
    (y,), _ = train(params, PARTS[2], x)
    np.testing.assert_allclose(y, np.asarray(plain) * params["scale"] + params["bias"], rtol=1e-5)


def test_every_call_uses_its_own_batch_and_moves_the_statistics_in_turn():
    first, second = draw(4, WIDTH, mean=3.0), draw(4, 3, WIDTH, seed=1, mean=-2.0)
    (_, y), both = train(*PARTS[1:], first, second)
    _, after_first = train(*PARTS[1:], first)
    (alone,), after_second = train(PARTS[1], after_first, second)
    np.testing.assert_allclose(y, alone, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), both, after_second)
    expected = 0.9 * (0.1 * first.mean(0)) + 0.1 * second.mean((0, 1))
    np.testing.assert_allclose(both["mean"], expected, rtol=1e-4)


def test_evaluation_uses_the_running_statistics_whatever_the_batch():
    stats = {"mean": draw(WIDTH), "variance": np.full(WIDTH, 4.0, np.float32)}
    x = draw(6, WIDTH, seed=1)
    y = evaluate(PARTS[1], stats, x)
    np.testing.assert_allclose(y, (x - stats["mean"]) / np.sqrt(4.0 + 1e-5), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(evaluate(PARTS[1], stats, x[:1]), y[:1], atol=1e-6)


def test_a_single_sample_leaves_finite_statistics():
    (y,), stats = train(*PARTS[1:], draw(1, WIDTH))
    np.testing.assert_allclose(y, 0.0, atol=1e-6)
    assert np.isfinite(stats["variance"]).all()


def test_batch_norm_of_bfloat16_keeps_its_statistics_in_float32():
    x = jnp.asarray(draw(64, WIDTH, mean=30.0), jnp.bfloat16)
    (y,), stats = train(*PARTS[1:], x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(stats)} == {jnp.dtype("float32")}
    wide = np.asarray(x, np.float64)
    np.testing.assert_allclose(stats["mean"], 0.1 * wide.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["variance"], 0.9 + 0.1 * wide.var(0, ddof=1), rtol=1e-4)


def test_the_gradient_flows_through_the_statistics_of_the_batch():
    """Normalised values do not change with the mean or size of the input, so neither has a
    gradient.
    """
    x = draw(8, WIDTH, mean=1.0)
    weight = draw(8, WIDTH, seed=1)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(train(*PARTS[1:], x)[0][0] * weight)))(x)
    np.testing.assert_allclose(gradient.sum(0), 0.0, atol=1e-5)
    np.testing.assert_allclose((gradient * x).sum(0), 0.0, atol=1e-4)
    assert np.abs(gradient).max() > 0.1


def test_eight_devices_with_a_split_batch_give_the_statistics_of_the_whole():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    x = draw(16, 3, WIDTH) + np.arange(16, dtype=np.float32)[:, None, None]
    (expected,), stats = train(*PARTS[1:], x)
    replicated = jax.device_put(PARTS[1:], NamedSharding(mesh, PartitionSpec()))
    (y,), moved = train(*replicated, jax.device_put(x, split))
    assert len(y.sharding.device_set) == 8
    np.testing.assert_allclose(y, expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved, stats)


def test_a_frozen_batch_norm_uses_what_it_was_given_and_trains_nothing():
    static, params, stats = functional.init(lambda rngs: FrozenBatchNorm(3), jax.random.key(0))
    assert not params
    given = {"scale": [1.0, 2.0, 3.0], "bias": [0.5, 0.0, -1.0], "mean": [1.0, -1.0, 0.0]}
    stats = stats | {name: jnp.asarray(value) for name, value in given.items()}
    stats["variance"] = jnp.asarray([4.0, 1.0, 0.25])
    x = draw(2, 5, 3)
    model = functional.bind(static, {}, stats, train=True)
    unit = (x - [1.0, -1.0, 0.0]) / np.sqrt(np.asarray([4.0, 1.0, 0.25]) + 1e-5)
    np.testing.assert_allclose(
        model(jnp.asarray(x)), unit * given["scale"] + given["bias"], atol=1e-5
    )
    after = functional.batch_statistics(model)
    assert all((after[name] == stats[name]).all() for name in stats)


def test_a_group_norm_takes_an_image_and_a_group_at_a_time():
    norm = GroupNorm(6, groups=2)
    x = draw(2, 4, 5, 6, mean=50.0)
    wide = x.astype(np.float64).reshape(2, 20, 2, 3)
    unit = (wide - wide.mean((1, 3), keepdims=True)) / np.sqrt(
        wide.var((1, 3), keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(norm(jnp.asarray(x)), unit.reshape(x.shape), atol=2e-5)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="6 channels are not a multiple of 4 groups"):
        GroupNorm(6, groups=4)
