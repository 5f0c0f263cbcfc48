import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data.square import CenteredSquare

RNG = np.random.default_rng(0)


def test_the_centre_of_an_image_is_kept() -> None:
    image = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    np.testing.assert_array_equal(CenteredSquare(4)(image, RNG), image[:, 2:6])


def test_shrinking_averages() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[::2] = 200
    expected = np.full((2, 2, 3), 100, np.uint8)
    np.testing.assert_array_equal(CenteredSquare(2)(image, RNG), expected)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_any_image_gives_a_square_of_the_size(height: int, width: int, size: int) -> None:
    image = np.full((height, width, 3), 7, np.uint8)
    square = CenteredSquare(size)(image, RNG)
    np.testing.assert_array_equal(square, np.full((size, size, 3), 7, np.uint8))
    assert square.dtype == np.uint8
