import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.interpolation import cubic_matrix, linear_matrix

SIZE = st.integers(1, 12)
MATRICES = {
    "corners": lambda size, new: linear_matrix(size, new, align_corners=True),
    "halves": lambda size, new: linear_matrix(size, new, align_corners=False),
    "cubic": cubic_matrix,
}


@pytest.fixture(params=MATRICES)
def matrix(request):
    return MATRICES[request.param]


@settings(deadline=None)
@given(name=st.sampled_from(sorted(MATRICES)), size=SIZE, new=SIZE)
def test_every_row_sums_to_one_so_that_constants_stay(name, size, new):
    rows = MATRICES[name](size, new)
    assert rows.shape == (new, size)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(1), 1.0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_an_equal_size_is_the_identity(matrix, size):
    np.testing.assert_array_equal(matrix(size, size), np.eye(size))


@settings(deadline=None)
@given(name=st.sampled_from(sorted(MATRICES)), size=SIZE, new=st.integers(2, 12))
def test_a_mirrored_axis_gives_a_mirrored_result(name, size, new):
    rows = MATRICES[name](size, new)
    np.testing.assert_allclose(rows[::-1, ::-1], rows, atol=1e-6)


def test_half_pixel_centres_by_hand():
    np.testing.assert_allclose(
        linear_matrix(2, 4, align_corners=False), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    )
    np.testing.assert_allclose(
        linear_matrix(3, 5, align_corners=False),
        [[1, 0, 0], [0.6, 0.4, 0], [0, 1, 0], [0, 0.4, 0.6], [0, 0, 1]],
        atol=1e-7,
    )


def test_corner_on_corner_by_hand():
    np.testing.assert_allclose(
        linear_matrix(2, 4, align_corners=True),
        [[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        linear_matrix(3, 5, align_corners=True),
        [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]],
    )


def test_corner_on_corner_keeps_both_ends_also_when_shrinking():
    rows = linear_matrix(5, 2, align_corners=True)
    np.testing.assert_array_equal(rows, [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(linear_matrix(5, 1, align_corners=True), [[1, 0, 0, 0, 0]])


@settings(deadline=None)
@given(size=SIZE, new=SIZE)
def test_corner_on_corner_equals_numpys_interpolation(size, new):
    values = np.sin(np.arange(size) * 2.3)
    positions = np.linspace(0, size - 1, new)
    expected = np.interp(positions, np.arange(size), values)
    np.testing.assert_allclose(
        linear_matrix(size, new, align_corners=True) @ values, expected, atol=1e-6
    )


@settings(deadline=None, max_examples=15)
@given(size=SIZE, new=SIZE)
def test_half_pixels_equal_jaxs_bilinear_resize_without_antialiasing(size, new):
    values = np.random.default_rng(0).normal(size=(size, 2)).astype(np.float32)
    expected = jax.image.resize(jnp.asarray(values), (new, 2), "bilinear", antialias=False)
    np.testing.assert_allclose(
        linear_matrix(size, new, align_corners=False) @ values, expected, atol=1e-5
    )


def test_the_cubic_kernel_by_hand():
    """From 2 to 4 samples the centres lie a quarter before and after the old ones.

    With a = -0.75 the kernel is 0.87890625 at distance 1/4, 0.26171875 at 3/4, -0.10546875 at 5/4
    and -0.03515625 at 7/4; what falls outside counts for the edge.
    """
    outer = [1.10546875, -0.10546875]
    inner = [0.7734375, 0.2265625]
    np.testing.assert_array_equal(cubic_matrix(2, 4), [outer, inner, inner[::-1], outer[::-1]])


def test_the_cubic_kernel_over_four_taps_by_hand():
    row = cubic_matrix(6, 12)[5]  # its centre is at 2.25
    expected = [0, -0.10546875, 0.87890625, 0.26171875, -0.03515625, 0]
    np.testing.assert_array_equal(row, expected)


def test_cubic_interpolation_passes_through_the_samples():
    np.testing.assert_allclose(cubic_matrix(3, 5)[2], [0, 1, 0], atol=1e-7)
    np.testing.assert_allclose(cubic_matrix(4, 12)[1::3], np.eye(4), atol=1e-6)


def test_the_cached_matrix_cannot_be_changed_by_a_caller(matrix):
    with pytest.raises(ValueError, match="read-only"):
        matrix(3, 4)[0, 0] = 1.0
