import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.nn import functional
from ovs_jax.nn.patch import PatchEmbedding

PATCH, WIDTH = 4, 6
STATIC, PARAMS, _ = functional.init(
    lambda rngs: PatchEmbedding(PATCH, WIDTH, norm=False, rngs=rngs), jax.random.key(0)
)
BIAS = np.arange(WIDTH, dtype=np.float32)
PARAMS["projection"]["bias"] = BIAS


@jax.jit
def embed(images):
    return functional.bind(STATIC, PARAMS, {})(images)


def images(height, width):
    return np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 12)])
def test_patches_equal_a_strided_convolution(height, width):
    x = images(height, width)
    kernel = PARAMS["projection"]["kernel"].reshape(PATCH, PATCH, 3, WIDTH)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (PATCH, PATCH), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    y = embed(x)
    assert y.shape == (2, height // PATCH, width // PATCH, WIDTH)
    np.testing.assert_allclose(y, expected + BIAS.reshape(1, 1, 1, -1), atol=1e-5)


def test_a_patch_sees_its_own_pixels_only():
    x = images(8, 8)
    changed = x.copy()
    changed[:, :4, 4:] += 1.0  # first row, second column of patches
    moved = np.abs(embed(changed) - embed(x)).max(axis=(0, 3)) > 0
    np.testing.assert_array_equal(moved, [[False, True], [False, False]])


def test_hidden_layers_work_within_each_patch():
    static, params, _ = functional.init(
        lambda rngs: PatchEmbedding(PATCH, WIDTH, norm=False, hidden=(5, 7), rngs=rngs),
        jax.random.key(0),
    )
    assert params["hidden"]["0"]["kernel"].shape == (48, 5)
    assert params["projection"]["kernel"].shape == (7, WIDTH)
    run = jax.jit(lambda x: functional.bind(static, params, {})(x))
    x = images(8, 8) * 100
    changed = x.copy()
    changed[:, :4, 4:] += 100.0
    moved = np.abs(run(changed) - run(x)).max(axis=(0, 3)) > 0
    np.testing.assert_array_equal(moved, [[False, True], [False, False]])


def test_the_norm_follows_where_it_is_wanted():
    static, params, _ = functional.init(
        lambda rngs: PatchEmbedding(PATCH, WIDTH, norm=True, rngs=rngs), jax.random.key(0)
    )
    y = jax.jit(lambda x: functional.bind(static, params, {})(x))(images(8, 8) * 50)
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.var(-1), 1.0, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(8, 10), (7, 8), (0, 8)])
def test_an_image_of_another_size_than_whole_patches_is_refused(height, width):
    with pytest.raises(
        ValueError, match=f"got {height} x {width} pixels, expected multiples of the patch size 4"
    ):
        functional.bind(STATIC, PARAMS, {})(jnp.zeros((1, height, width, 3)))
