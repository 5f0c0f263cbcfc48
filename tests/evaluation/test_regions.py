"""Boxes, crops and what CLIP is shown, against slow and plain calculations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.evaluation.regions import (
    align,
    align_matrix,
    embed_regions,
    mask_boxes,
    pool_regions,
    region_inputs,
)

SIZE = 8
_matrix = jax.jit(align_matrix, static_argnames=("length", "size"))
_boxes = jax.jit(mask_boxes)
_align = jax.jit(align, static_argnames="size")
_inputs = jax.jit(region_inputs, static_argnames=("style", "size"))


def masks_of(*points, height=9, width=12):
    masks = np.zeros((len(points), height, width), bool)
    for mask, inside in zip(masks, points, strict=True):
        for y, x in inside:
            mask[y, x] = True
    return masks


def test_a_box_reaches_from_the_first_to_the_last_pixel_of_its_mask():
    masks = masks_of([(2, 3), (5, 7)], [(0, 0), (8, 11)])
    np.testing.assert_array_equal(_boxes(masks), [[3, 2, 7, 5], [0, 0, 11, 8]])


def test_a_mask_that_is_empty_a_point_a_row_or_a_column_has_the_box_of_the_whole_image():
    masks = masks_of([], [(4, 4)], [(4, 1), (4, 9)], [(1, 6), (8, 6)])
    np.testing.assert_array_equal(_boxes(masks), [[0, 0, 12, 9]] * 4)


def plain_matrix(start, end, length, size):
    """RoIAlign along one axis, sample by sample, in double precision."""
    samples = -(-(end - start) // size)
    matrix = np.zeros((size, length))
    for p in range(size):
        for s in range(samples):
            at = start - 0.5 + (end - start) * (p + (s + 0.5) / samples) / size
            at = min(max(at, 0.0), length - 1.0)
            low = int(at)
            matrix[p, low] += (1 - (at - low)) / samples
            matrix[p, min(low + 1, length - 1)] += (at - low) / samples
    return matrix


@settings(max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40))
def test_the_matrix_of_a_crop_is_the_mean_of_bilinear_samples(first, second):
    start, end = sorted((first, second))
    found = _matrix(jnp.int32(start), jnp.int32(end), length=40, size=SIZE)
    np.testing.assert_allclose(found, plain_matrix(start, end, 40, SIZE), atol=1e-6)


def test_positions_in_the_thousands_keep_their_digits():
    found = _matrix(jnp.int32(3), jnp.int32(2557), length=2560, size=16)
    np.testing.assert_allclose(found, plain_matrix(3, 2557, 2560, 16), atol=1e-6)


def test_one_image_serves_all_boxes():
    image = np.random.default_rng(0).random((1, 9, 12, 3), np.float32)
    boxes = jnp.asarray([[0, 0, 12, 9], [2, 1, 7, 8]])
    both = _align((image), boxes, size=SIZE)
    each = _align((np.repeat(image, 2, axis=0)), boxes, size=SIZE)
    np.testing.assert_allclose(both, each, atol=1e-6)
    rows, cols = plain_matrix(1, 8, 9, SIZE), plain_matrix(2, 7, 12, SIZE)
    want = np.einsum("yh,xw,hwc->yxc", rows, cols, image[0])
    np.testing.assert_allclose(both[1], want, atol=1e-5)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 8, 12)).astype(np.float32)
    logits[1] = -1.0  # an empty mask
    return jnp.asarray(rng.normal(size=(8, 12, 3)), jnp.float32), jnp.asarray(logits)


def test_outside_a_mask_there_is_the_mean_colour(scene):
    image, logits = scene
    for style in ("mask", "crop_mask"):
        shown = _inputs(image, logits, style=style, size=SIZE)
        assert not np.asarray(shown[1]).any()
        assert np.asarray(shown[0]).any()
    crop = _inputs(image, logits, style="crop", size=SIZE)
    whole = _align(image[None], jnp.asarray([[0, 0, 12, 8]]), size=SIZE)
    np.testing.assert_allclose(crop[1], whole[0], atol=1e-6)


def test_masks_taken_a_few_at_a_time_give_what_they_give_together(scene):
    image, logits = scene

    def encode(pictures):
        return pictures.reshape(pictures.shape[0], -1)[:, ::7]

    together = encode(_inputs(image, logits, style="crop_mask", size=SIZE))
    for chunk in (2, 8):
        found = embed_regions(encode, image, logits, style="crop_mask", size=SIZE, chunk=chunk)
        np.testing.assert_allclose(found, together, atol=1e-6)


def test_pooling_is_the_mean_over_the_patches_in_a_mask():
    dense = jnp.arange(6.0).reshape(2, 3, 1)
    logits = np.full((3, 4, 6), -1.0, np.float32)
    logits[0, :2, :2] = 1  # the first patch
    logits[1, 2:, 3:5] = 1  # half of the fifth, half of the sixth
    pooled = pool_regions(dense, jnp.asarray(logits), size=(4, 6))
    np.testing.assert_allclose(pooled[:, 0], [0.0, 4.5, 2.5])
    with pytest.raises(ValueError, match="in whole patches"):
        pool_regions(dense, jnp.asarray(logits), size=(5, 6))
