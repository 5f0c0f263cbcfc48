from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ovs_jax.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    keep_ratio_size,
    normalize,
    resize_antialiased,
    resize_keep_ratio,
)


@pytest.fixture(scope="module")
def reference(golden):
    return np.load(golden / "misc" / "resize.npz")


def test_sizes_follow_the_published_rule(reference):
    for height, width, rows, columns in reference["sizes_h_w_newh_neww"].tolist():
        assert keep_ratio_size(height, width) == (rows, columns)


def test_resized_pixels_equal_the_reference_in_either_channel_order(reference):
    short_side = int(reference["short_side_for_this_example"])
    rgb = np.ascontiguousarray(reference["bgr_in"][..., ::-1])
    resized = resize_keep_ratio(rgb, short_side=short_side)
    np.testing.assert_array_equal(resized[..., ::-1], reference["bgr_resized_uint8"])
    # A view with negative strides, as BGR to RGB by slicing gives, resizes the same.
    view = reference["bgr_in"][..., ::-1]
    np.testing.assert_array_equal(resize_keep_ratio(view, short_side=short_side), resized)


def test_pixels_are_normalised_with_the_published_constants(reference):
    rgb = reference["bgr_resized_uint8"][..., ::-1]
    result = normalize(rgb)
    assert result.dtype == np.float32
    by_hand = (rgb - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    np.testing.assert_allclose(result, by_hand, rtol=0, atol=1e-6)


def test_the_mean_colour_normalises_to_nearly_zero_and_one_deviation_to_one():
    mean, deviation = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    image = np.stack([np.round(mean), np.round(mean + deviation)]).astype(np.uint8)[None]
    np.testing.assert_allclose(normalize(image), [[[0] * 3, [1] * 3]], atol=0.5 / 57)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_resized_image_respects_both_sides_and_keeps_its_ratio(height, width):
    rows, columns = keep_ratio_size(height, width)
    assert 1 <= min(rows, columns) <= 448
    assert max(rows, columns) <= 2048
    assert min(rows, columns) == 448 or max(rows, columns) == 2048
    scale = max(rows, columns) / max(height, width)
    assert abs(min(rows, columns) - max(min(height, width) * scale, 1)) <= 1


@pytest.mark.parametrize("field", ["short_side", "long_side"])
def test_a_side_below_one_pixel_is_refused_by_name(field):
    with pytest.raises(ValueError, match=f"expected {field} of at least 1 pixel, got 0"):
        resize_keep_ratio(np.zeros((4, 4, 3), np.uint8), **{field: 0})


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="expected width of at least 1 pixel, got 0"):
        resize_keep_ratio(np.zeros((4, 0, 3), np.uint8))


def test_normalising_by_look_up_equals_the_formula() -> None:
    values = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    mean, std = (np.asarray(x, np.float32) for x in (IMAGENET_MEAN, IMAGENET_STD))
    np.testing.assert_array_equal(normalize(values), (values.astype(np.float32) - mean) / std)
    np.testing.assert_array_equal(normalize(values[::-2]), normalize(values)[::-2])


@pytest.mark.parametrize("size", [(300, 240), (340, 256), (480, 500), (700, 900), (120, 1100)])
def test_the_antialiased_resize_is_near_that_of_pillow(
    shared_data: Path, size: tuple[int, int]
) -> None:
    ours, plain = [], []
    for file in sorted((shared_data / "photos_captions/images").glob("*.jpg"))[:12]:
        photo = Image.open(file).convert("RGB").resize(size, Image.Resampling.BICUBIC)
        expected = np.asarray(photo.resize((224, 224), Image.Resampling.BILINEAR), np.float32)
        image = np.asarray(photo)
        ours.append(np.abs(resize_antialiased(image, 224, 224) - expected))
        plain.append(np.abs(np.asarray(cv2.resize(image, (224, 224)), np.float32) - expected))
    # On the scale of 0 to 255, over photos; where much detail is sharp it is up to twice as much.
    assert np.mean(ours) < 0.7
    assert np.max(ours) < 40
    assert np.mean(ours) < np.mean(plain)


def test_enlarging_and_keeping_the_size_need_no_smoothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_antialiased(image, 20, 31), image)
    expected = np.asarray(
        Image.fromarray(image).resize((64, 48), Image.Resampling.BILINEAR), np.int32
    )
    assert np.abs(resize_antialiased(image, 48, 64) - expected).max() <= 1
