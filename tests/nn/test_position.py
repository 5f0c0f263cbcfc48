import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.nn import functional
from ovs_jax.nn.position import PositionEmbedding, resize_positions

RNG = np.random.default_rng(0)
GRID = RNG.normal(size=(4, 4, 2)).astype(np.float32)


def cubic(samples: np.ndarray, position: float) -> np.ndarray:
    """Cubic convolution with a = -0.75 along the first axis at one place; edges are repeated."""
    base = int(np.floor(position))
    total = np.zeros(samples.shape[1:])
    for place in range(base - 1, base + 3):
        x = abs(position - place)
        if x <= 1:
            weight = 1.25 * x**3 - 2.25 * x**2 + 1
        else:
            weight = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
        total += weight * samples[min(max(place, 0), len(samples) - 1)]
    return total


@pytest.mark.parametrize(("rows", "cols"), [(6, 9), (4, 7), (2, 3), (1, 4)])
def test_a_resized_grid_equals_cubic_convolution_one_place_at_a_time(rows, cols):
    def centre(i, new):
        return (i + 0.5) * 4 / new - 0.5

    expected = np.asarray(
        [
            [
                cubic(cubic(GRID.astype(np.float64), centre(r, rows)), centre(c, cols))
                for c in range(cols)
            ]
            for r in range(rows)
        ]
    )
    resized = resize_positions(jnp.asarray(GRID), rows, cols)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_the_grid_of_training_is_used_as_it_stands():
    np.testing.assert_array_equal(resize_positions(jnp.asarray(GRID), 4, 4), GRID)


def test_the_module_lays_its_vectors_out_row_by_row():
    static, params, _ = functional.init(
        lambda rngs: PositionEmbedding(4, 2, rngs=rngs), jax.random.key(0)
    )
    assert params["embedding"].shape == (16, 2)
    run = jax.jit(
        lambda p, rows, cols: functional.bind(static, p, {})(rows, cols), static_argnums=(1, 2)
    )
    flat = {"embedding": GRID.reshape(16, 2)}
    np.testing.assert_array_equal(run(flat, 4, 4), GRID)
    np.testing.assert_allclose(
        run(flat, 3, 6), resize_positions(jnp.asarray(GRID), 3, 6), atol=1e-6
    )


def test_low_precision_is_kept():
    assert resize_positions(jnp.asarray(GRID, jnp.bfloat16), 5, 5).dtype == jnp.bfloat16
