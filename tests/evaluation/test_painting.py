import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.evaluation.painting import (
    add_background,
    background_scores,
    class_scores,
    group_scores,
    hard_shares,
    inverse_temperature,
    memberships,
    paint,
    pixel_groups,
    upsample_maps,
)
from ovs_jax.evaluation.sliding import Geometry, slot_count, tiles, window_boxes


def unit(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def test_scores_are_the_product_of_two_softmaxes_computed_by_hand():
    classes = jnp.eye(3)
    image = jnp.asarray([[5.0, 4.0, 1.0]])  # the third class ranks last for the whole image
    groups = jnp.asarray([[[2.0, 0.0, 0.0], [0.0, 3.0, 4.0]]])
    scores = group_scores(image, groups, classes, scale=jnp.asarray(2.0), top=2)
    expected = [
        softmax(np.asarray([2.0, 0, 0])) * [*softmax(np.asarray([2.0, 0])), 0],
        softmax(np.asarray([0, 1.2, 1.6])) * [*softmax(np.asarray([0, 1.2])), 0],
    ]
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5)


def test_with_fewer_classes_than_the_top_all_are_kept():
    classes = unit(jax.random.normal(jax.random.key(0), (3, 8)))
    x = jax.random.normal(jax.random.key(1), (2, 4, 8))
    scores = group_scores(x[:, 0], x, classes, scale=jnp.asarray(10.0))
    assert (scores > 0).all()
    np.testing.assert_allclose(
        scores, jax.nn.softmax(10 * jnp.einsum("bge,ce->bgc", unit(x), classes)) ** 2, rtol=1e-4
    )


def test_the_temperature_is_clamped():
    assert inverse_temperature(jnp.asarray(50.0)) == 100.0
    np.testing.assert_allclose(inverse_temperature(jnp.asarray(1.0)), np.e, rtol=1e-6)


def test_background_takes_the_groups_below_the_threshold():
    scores = jnp.asarray([[[0.2, 0.7], [0.5, 0.1]]])
    np.testing.assert_allclose(add_background(scores, 0.6), [[[0.0, 0.2, 0.7], [1.0, 0.5, 0.1]]])


def test_a_fixed_background_scores_the_threshold_everywhere():
    scores = jnp.asarray([[[0.2, 0.7], [0.5, 0.1]], [[0.1, 0.1], [0.0, 0.2]]])
    found = add_background(scores, 0.4, rule="fixed")
    np.testing.assert_allclose(found[..., 0], 0.4)
    np.testing.assert_array_equal(found.argmax(-1), [[2, 1], [0, 0]])


@pytest.mark.parametrize("rule", ["best_group", "fixed"])
def test_the_background_never_falls_as_the_threshold_rises(rule):
    scores = jax.random.uniform(jax.random.key(5), (3, 4, 6))
    thresholds = jnp.linspace(0, 1, 9)
    found = background_scores(scores, thresholds, rule=rule)
    assert found.shape == (3, 4, 9)
    assert (jnp.diff(found, axis=-1) >= 0).all()
    for i in (0, 5, 8):
        alone = add_background(scores, thresholds[i], rule=rule)[..., 0]
        np.testing.assert_array_equal(found[..., i], alone)


def test_the_best_group_of_a_window_is_never_background():
    scores = jnp.asarray([[[0.2, 0.3], [0.25, 0.1]], [[0.9, 0.0], [0.9, 0.1]]])
    background = add_background(scores, 0.95)[..., 0]
    np.testing.assert_array_equal(background, [[0, 1], [0, 0]])


def test_maps_are_resized_with_half_pixel_centres():
    maps = jax.random.uniform(jax.random.key(2), (2, 3, 5, 4))
    expected = jax.image.resize(maps, (2, 24, 35, 4), method="linear", antialias=False)
    np.testing.assert_allclose(upsample_maps(maps, (24, 35)), expected, atol=1e-6)
    np.testing.assert_array_equal(pixel_groups(maps, (24, 35)), expected.argmax(-1))


def test_each_pixel_is_painted_with_the_scores_of_its_group():
    groups = jnp.asarray([[[0, 1]], [[2, 0]]])
    scores = jnp.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    painted = paint(groups, scores)
    np.testing.assert_array_equal(painted[0, 0], scores[0, [0, 1]])
    np.testing.assert_array_equal(painted[1, 0], scores[1, [2, 0]])


@pytest.mark.parametrize(("size", "new_size"), [((64, 100), (64, 100)), ((50, 77), (31, 90))])
def test_composing_in_group_space_equals_painting_averaging_and_resizing_scores(size, new_size):
    geometry = Geometry(window=32, stride=16, short_side=0)
    boxes = window_boxes(*size, window=32, stride=16)
    slots = slot_count(len(boxes))
    keys = jax.random.split(jax.random.key(3))
    maps = jax.random.uniform(keys[0], (slots, 4, 4, 3))
    scores = add_background(jax.random.uniform(keys[1], (slots, 3, 5)), 0.6)
    painted = np.asarray(paint(pixel_groups(maps, (32, 32)), scores))
    total, count = np.zeros((*size, 6)), np.zeros((*size, 1))
    for window, (top, left, bottom, right) in zip(painted, boxes, strict=False):
        total[top:bottom, left:right] += window
        count[top:bottom, left:right] += 1
    expected = jax.image.resize(
        jnp.asarray(total / count), (*new_size, 6), method="linear", antialias=False
    )
    found = np.zeros((*new_size, 6))
    of_pixels = hard_shares(maps, (32, 32))
    shares = np.zeros(new_size)
    for tile in tiles(size, new_size, geometry=geometry, tile=48, slots=slots):
        members = memberships(of_pixels, jnp.asarray(tile.rows), jnp.asarray(tile.cols))
        piece = class_scores(members, scores)
        found[tile.inside] = piece[: tile.height, : tile.width]
        shares[tile.inside] = members.sum(-1)[: tile.height, : tile.width]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(shares, 1.0, atol=1e-5)
