from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ovs_jax.models.features import Assignment
from ovs_jax.models.groupvit.config import EncoderConfig
from ovs_jax.models.groupvit.encoder import GroupingEncoder, group_maps
from ovs_jax.nn import functional

CONFIG = EncoderConfig(
    image_size=16,
    patch_size=4,
    width=16,
    depths=(1, 1, 1),
    heads=(2, 2, 2),
    group_tokens=(5, 3, 0),
    output_groups=(4, 3),
    drop_path=0.0,
)
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
KEY = jax.random.key(1)


def compare(first, second, tolerance=1e-5):
    """Leaf by leaf; mapping over features would make features of nothing."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


def build(config):
    return lambda rngs: GroupingEncoder(config, rngs=rngs)


STATIC = functional.abstract(build(CONFIG))[0]


def draw(config):
    """Random parameters of a size at which the assignments differ from patch to patch."""
    rng = np.random.default_rng(2)
    flat = functional.paths(functional.abstract(build(config))[1])
    return functional.nest(
        {
            name: (rng.normal(0, 0.3, leaf.shape) + name.endswith("scale")).astype(np.float32)
            for name, leaf in flat.items()
        }
    )


@pytest.fixture(scope="module")
def params():
    return draw(CONFIG)


@pytest.fixture(scope="module")
def encode(params):
    return jax.jit(
        lambda images, key=None, gumbel=None: functional.bind(STATIC, params, {})(
            images, key=key, gumbel=gumbel
        )
    )


def test_without_a_key_nothing_is_random(encode):
    first, second = encode(IMAGES), encode(IMAGES)
    compare(first, second, tolerance=0)


def test_the_features_are_one_a_group_and_their_mean(encode):
    features = encode(IMAGES)
    assert features.groups.shape == (2, 3, 16)
    np.testing.assert_allclose(features.pooled, features.groups.mean(1), atol=1e-6)
    assert [a.soft.shape for a in features.assignments] == [(2, 4, 16), (2, 3, 4)]


def test_a_key_draws_gumbel_noise_for_every_stage(encode):
    silent, noisy, other = (encode(IMAGES, key) for key in (None, KEY, jax.random.key(2)))
    for stage in range(2):
        soft = [f.assignments[stage].soft for f in (silent, noisy, other)]
        assert np.abs(soft[0] - soft[1]).max() > 0.1
        assert np.abs(soft[1] - soft[2]).max() > 0.1
    again = encode(IMAGES, KEY)
    compare(noisy, again, tolerance=0)


def test_noise_that_is_given_acts_as_the_same_noise_drawn(encode, params):
    noise_key = jax.random.split(KEY, 2)[1]
    gumbel = functional.bind(STATIC, params, {}).draw_gumbel(noise_key, 2, 16)
    assert [noise.shape for noise in gumbel] == [(2, 4, 16), (2, 3, 4)]
    given, drawn = encode(IMAGES, None, gumbel), encode(IMAGES, KEY)
    compare(given, drawn)


def test_without_gumbel_a_key_changes_nothing_but_stochastic_depth(encode, params):
    static = functional.abstract(build(replace(CONFIG, gumbel=False)))[0]
    run = jax.jit(lambda x, k: functional.bind(static, params, {})(x, key=k))
    compare(run(IMAGES, KEY), encode(IMAGES))


@pytest.mark.parametrize(("height", "width"), [(8, 20), (32, 16), (4, 4)])
def test_images_of_any_size_are_encoded(params, height, width):
    def run(images):
        features = functional.bind(STATIC, params, {})(images)
        return features.assignments[0].soft, features.groups

    soft, groups = jax.eval_shape(run, jnp.zeros((1, height, width, 3)))
    assert soft.shape == (1, 4, height * width // 16)
    assert groups.shape == (1, 3, 16)


ONE_STAGE = replace(CONFIG, depths=(1, 1), heads=(2, 2), group_tokens=(5, 0), output_groups=(4,))


def gradient_and_groups(config):
    """Of a loss that every entry of every group counts in."""
    static = functional.abstract(build(config))[0]

    def loss(params):
        features = functional.bind(static, params, {})(IMAGES, key=KEY)
        weight = jnp.cos(jnp.arange(features.groups.size)).reshape(features.groups.shape)
        return jnp.sum(features.groups * weight), features.groups

    return jax.jit(jax.grad(loss, has_aux=True))(draw(config))


@pytest.fixture(scope="module")
def plain():
    return gradient_and_groups(ONE_STAGE)


def test_every_parameter_of_the_encoder_gets_a_gradient(plain):
    """All but those that what follows cancels: key biases under a softmax over the tokens, query
    biases under one over the groups, and shifts of a whole token under a norm.
    """
    sizes = {name: np.abs(leaf).max() for name, leaf in functional.paths(plain[0]).items()}
    cancelled = ("attention/key/bias", "assignment/query/bias", "group_mix/mlp/out/bias")
    expected = {name for name in sizes if name.endswith(cancelled)}
    assert len(expected) == 5
    assert {name for name, size in sizes.items() if size < 1e-3} == expected


def test_group_maps_multiply_the_stages_and_share_each_patch_out(encode):
    features = encode(IMAGES)
    maps = np.asarray(group_maps(features.assignments, 4, 4))
    assert maps.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(maps.sum(-1), 1.0, atol=1e-5)
    first, second = (np.asarray(a.soft, np.float64) for a in features.assignments)
    expected = (second @ first).swapaxes(1, 2).reshape(2, 4, 4, 3)
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_group_maps_lie_row_by_row():
    soft = np.zeros((1, 2, 6), np.float32)
    soft[0, 0, :2] = soft[0, 1, 2:] = 1.0
    blank = jnp.zeros((1, 2, 4))
    assignment = Assignment(jnp.asarray(soft), jnp.asarray(soft), blank, jnp.zeros((1, 6, 4)))
    maps = group_maps([assignment], 2, 3)
    np.testing.assert_array_equal(maps[0, :, :, 0], [[1, 1, 0], [0, 0, 0]])


def test_drop_path_grows_linearly_over_all_blocks():
    config = replace(CONFIG, depths=(2, 1, 2), drop_path=0.2)
    encoder = nnx.eval_shape(lambda: GroupingEncoder(config, rngs=nnx.Rngs(0)))
    rates = [rate for stage in encoder.stages for rate in stage.rates]
    np.testing.assert_allclose(rates, [0.0, 0.05, 0.1, 0.15, 0.2])


def test_a_stage_may_have_no_blocks():
    config = replace(CONFIG, depths=(1, 0, 0))
    static, params, _ = functional.abstract(build(config))
    groups = jax.eval_shape(
        lambda p, x: functional.bind(static, p, {})(x, key=KEY).groups, params, IMAGES
    )
    assert groups.shape == (2, 3, 16)
