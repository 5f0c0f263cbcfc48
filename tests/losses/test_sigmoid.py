"""The sigmoid loss: by hand, by tiles and round a ring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax import parallel
from ovs_jax.losses.sigmoid import sigmoid_contrastive, tiled_total

SCALE, BIAS = jnp.log(jnp.asarray(10.0)), jnp.asarray(-10.0)


def embeddings(rows: int, width: int = 16) -> tuple[jax.Array, jax.Array]:
    """Pairs that are alike; of unrelated ones the gradient is a difference of nearly equal sums."""
    first, second = jax.random.split(jax.random.key(0))
    image = jax.random.normal(first, (rows, width))
    return image, image + jax.random.normal(second, (rows, width))


def loss(tile: int, axes: tuple[str, ...] = ()):
    def call(image, text, scale, bias):
        return sigmoid_contrastive(
            image, text, logit_scale=scale, logit_bias=bias, tile=tile, axes=axes
        )

    return jax.value_and_grad(call, argnums=(0, 1, 2, 3))


def close(found, expected) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jnp.linalg.norm(one - other) <= 1e-6 * jnp.linalg.norm(other)


def test_two_pairs_cost_what_a_pencil_says():
    image, text = np.eye(2, dtype=np.float32), np.asarray([[1, 0], [1, 0]], np.float32)
    # Cosines are 1 and 1 for the first image, 0 and 0 for the second; signs are + - and - +.
    logits = 10 * np.asarray([[1, 1], [0, 0]]) - 10.0
    signs = np.asarray([[1, -1], [-1, 1]])
    expected = np.log1p(np.exp(-signs * logits)).sum() / 2
    found = sigmoid_contrastive(
        jnp.asarray(image), jnp.asarray(text), logit_scale=SCALE, logit_bias=BIAS
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("tile", [1, 5, 100])
def test_tiles_of_any_size_give_the_loss_and_gradients_of_the_whole(tile):
    pair = embeddings(12)
    close(jax.jit(loss(tile))(*pair, SCALE, BIAS), loss(0)(*pair, SCALE, BIAS))


def test_a_ring_of_devices_gives_the_loss_and_gradients_of_one():
    mesh = parallel.make_mesh((2, 4, 1))
    pair = embeddings(48)

    def on_mesh(*arguments):
        with parallel.visible(mesh):
            return loss(3, parallel.BATCH_AXES)(*arguments)

    placed = [jax.device_put(x, parallel.batch_sharding(mesh)) for x in pair]
    close(jax.jit(on_mesh)(*placed, SCALE, BIAS), loss(0)(*pair, SCALE, BIAS))


def test_an_empty_tile_is_refused():
    with pytest.raises(ValueError, match="tile: expected at least one text, got 0"):
        tiled_total(0)
