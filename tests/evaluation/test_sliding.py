import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.evaluation.sliding import (
    Geometry,
    cut_windows,
    slot_count,
    tiles,
    window_boxes,
    window_starts,
)

PUBLISHED_BOXES = [
    *((0, left, 64, left + 64) for left in (0, 32, 64, 96)),
    *((32, left, 96, left + 64) for left in (0, 32, 64, 96)),
]
"""`slide_boxes_y1x1y2x2` of all three reference models: 96 x 160, window 64, stride 32."""


def test_the_published_windows_are_reproduced_in_their_order():
    assert list(window_boxes(96, 160, window=64, stride=32)) == PUBLISHED_BOXES


def test_the_last_window_moves_back_to_end_with_the_image():
    assert window_starts(500, window=448, stride=224) == (0, 52)
    assert window_starts(448, window=448, stride=224) == (0,)
    assert window_starts(2048, window=448, stride=224)[-2:] == (1568, 1600)


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 300), window=st.integers(1, 80), stride_share=st.floats(0.01, 1))
def test_windows_cover_every_pixel_and_stay_inside(size, window, stride_share):
    stride = max(1, int(window * stride_share))
    starts = window_starts(size, window=window, stride=stride)
    covered = np.zeros(size, int)
    for start in starts:
        assert start >= 0
        assert start + window <= max(size, window)
        covered[start : start + window] += 1
    assert covered.min() > 0
    assert len(starts) == max(size - window + stride - 1, 0) // stride + 1


def test_a_small_image_stands_in_the_corner_of_its_only_window():
    image = np.ones((3, 9, 3), np.float32)
    windows = cut_windows(image, Geometry(window=8, stride=4, short_side=0))
    assert windows.shape == (2, 8, 8, 3)
    assert windows[:, :3].min() == 1
    assert not windows[:, 3:].any()


def reference_average(windows, boxes, size):
    """What the published code does: sum, count, divide."""
    total, count = np.zeros((*size, windows.shape[-1])), np.zeros((*size, 1))
    for window, (top, left, bottom, right) in zip(windows, boxes, strict=True):
        total[top:bottom, left:right] += window[: bottom - top, : right - left]
        count[top:bottom, left:right] += 1
    return total / count


def resize(x, new_size, axis):
    """Half-pixel bilinear along one axis, in float64."""
    size = x.shape[axis]
    at = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    low = at.astype(int)
    share = np.expand_dims(at - low, tuple(a for a in range(x.ndim) if a != axis))
    high = np.minimum(low + 1, size - 1)
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


@pytest.mark.parametrize(
    ("size", "new_size"),
    [((40, 70), (40, 70)), ((32, 77), (61, 13)), ((20, 90), (100, 33)), ((7, 5), (3, 50))],
)
def test_tiles_average_the_windows_and_resize_the_average(size, new_size):
    geometry = Geometry(window=32, stride=16, short_side=0)
    boxes = window_boxes(*size, window=32, stride=16)
    windows = np.random.default_rng(0).normal(size=(len(boxes), 32, 32, 2)).astype(np.float32)
    average = reference_average(windows, boxes, size)
    expected = resize(resize(average, new_size[0], 0), new_size[1], 1)
    slots = slot_count(len(boxes))
    padded = np.concatenate([windows, np.full((slots - len(boxes), 32, 32, 2), 99, np.float32)])
    found = np.full((*new_size, 2), np.nan)
    for tile in tiles(size, new_size, geometry=geometry, tile=24, slots=slots):
        assert tile.rows.shape == tile.cols.shape == (slots, 24, 32)
        piece = np.einsum("koy,kpx,kyxc->opc", tile.rows, tile.cols, padded)
        assert not piece[tile.height :].any()
        found[tile.inside] = piece[: tile.height, : tile.width]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_slots_are_powers_of_two():
    assert [slot_count(k) for k in (1, 2, 3, 4, 5, 9)] == [1, 2, 4, 4, 8, 16]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": 8, "stride": 9}, "expected 1 to the window's 8 pixels, got 9"),
        ({"stride": 0}, "geometry.stride"),
        ({"short_side": 500, "long_side": 400}, "1 to long_side 400, got 500"),
    ],
)
def test_impossible_geometries_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Geometry(**fields)


def test_a_geometry_without_a_short_side_leaves_images_as_they_are():
    image = np.zeros((5, 7, 3), np.uint8)
    geometry = Geometry(window=8, stride=8, short_side=0)
    assert geometry.resized(image) is image
    assert geometry.resized_size(5, 7) == (5, 7)


def test_the_published_resize_is_the_default():
    geometry = Geometry()
    assert geometry.resized_size(375, 500) == (448, 597)
    assert geometry.resized_size(100, 1000) == (205, 2048)
    assert geometry.resized(np.zeros((375, 500, 3), np.uint8)).shape == (448, 597, 3)
