"""Log-sum-exps by tiles and round a ring equal those of the whole matrix, in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax import parallel
from ovs_jax.losses.contrastive import unit
from ovs_jax.losses.tiles import tiled_sums, whole_sums

SCALE = jnp.asarray(14.3)  # CLIP begins with 1 / 0.07
RING = ("data", "fsdp")


def embeddings(images: int, texts: int, width: int = 16) -> tuple[jax.Array, jax.Array]:
    first, second = jax.random.split(jax.random.key(0))
    return (
        unit(jax.random.normal(first, (images, width))),
        unit(jax.random.normal(second, (texts, width))),
    )


def weighted(sums):
    """A scalar in which every sum has a weight of its own, and its gradients."""

    def total(image, text, scale):
        rows, columns = sums(image, text, scale)
        return jnp.sum(rows * jnp.cos(jnp.arange(len(rows)))) + jnp.sum(
            columns * jnp.sin(jnp.arange(len(columns)))
        )

    return jax.value_and_grad(total, argnums=(0, 1, 2))


def close(found, expected) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jnp.linalg.norm(one - other) <= 1e-6 * jnp.linalg.norm(other)


@pytest.mark.parametrize("tile", [1, 5, 12, 100])
def test_tiles_of_any_size_give_the_sums_and_gradients_of_the_whole(tile):
    pair = embeddings(8, 24)
    found = jax.jit(tiled_sums(tile))(*pair, SCALE)
    for one, other in zip(found, whole_sums(*pair, SCALE), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    close(jax.jit(weighted(tiled_sums(tile)))(*pair, SCALE), weighted(whole_sums)(*pair, SCALE))


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 4, 1), (4, 1, 2)])
def test_a_ring_of_devices_gives_the_sums_and_gradients_of_one(shape):
    mesh = parallel.make_mesh(shape)
    pair = embeddings(16, 48)

    def on_mesh(image, text, scale):
        with parallel.visible(mesh):
            return weighted(tiled_sums(3, axes=RING))(image, text, scale)

    rows = parallel.batch_sharding(mesh)
    placed = [jax.device_put(x, rows) for x in pair]
    close(jax.jit(on_mesh)(*placed, SCALE), weighted(whole_sums)(*pair, SCALE))


def test_a_ring_needs_a_fraction_of_the_memory_and_sends_blocks_only():
    mesh = parallel.make_mesh((8, 1, 1))
    rows, width = 4096, 32

    def memory(sums) -> tuple[int, str]:
        def on_mesh(image, text, scale):
            with parallel.visible(mesh):
                return weighted(sums)(image, text, scale)

        shape = jax.ShapeDtypeStruct(
            (rows, width), jnp.float32, sharding=parallel.batch_sharding(mesh)
        )
        program = jax.jit(on_mesh).lower(shape, shape, SCALE).compile()
        return program.memory_analysis().temp_size_in_bytes, program.as_text()

    whole, _ = memory(whole_sums)
    ring, text = memory(tiled_sums(128, axes=RING))
    assert ring < whole / 8
    assert "all-gather" not in text


def test_an_empty_tile_is_refused():
    with pytest.raises(ValueError, match="tile: expected at least one text, got 0"):
        tiled_sums(0)
