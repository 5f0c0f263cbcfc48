import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.losses.masks import (
    class_masks,
    dice_loss,
    enlarge,
    focal_loss,
    pairwise_mask_costs,
    shrink,
)

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(3 * RNG.normal(size=(2, 5, 4, 6)), jnp.float32)
MASKS = jnp.asarray(RNG.uniform(size=(2, 3, 4, 6)) < 0.4)
LOSSES = pytest.mark.parametrize("index", [0, 1], ids=["focal", "dice"])


def pair(index, logits, masks, **kwargs):
    return (focal_loss, dice_loss)[index](logits, masks, **kwargs)


def test_the_focal_loss_of_four_pixels_by_hand():
    """p = 1/2, 3/4, 1/4, 1/2 on targets 1, 1, 0, 0."""
    logits = jnp.asarray([[[[0.0, np.log(3)], [-np.log(3), 0.0]]]])
    masks = jnp.asarray([[[[True, True], [False, False]]]])
    inside = 0.25 * (0.25 * np.log(2) + 0.0625 * np.log(4 / 3))
    outside = 0.75 * (0.0625 * np.log(4 / 3) + 0.25 * np.log(2))
    np.testing.assert_allclose(focal_loss(logits, masks), [[(inside + outside) / 4]], rtol=1e-5)


def test_the_dice_loss_of_four_pixels_by_hand():
    logits = jnp.asarray([[[[0.0, np.log(3)], [-np.log(3), 0.0]]]])
    masks = jnp.asarray([[[[True, True], [False, False]]]])
    np.testing.assert_allclose(
        dice_loss(logits, masks), [[1 - (2 * 1.25 + 1) / (2 + 2 + 1)]], rtol=1e-5
    )


@LOSSES
def test_the_cost_of_a_pair_is_its_loss(index):
    cost = pairwise_mask_costs(LOGITS, MASKS)[index]
    for query in range(5):
        repeated = jnp.repeat(LOGITS[:, query : query + 1], 3, axis=1)
        np.testing.assert_allclose(cost[:, query], pair(index, repeated, MASKS), atol=1e-6)


@LOSSES
def test_pixels_that_do_not_count_might_as_well_be_cut_away(index):
    valid = jnp.zeros((2, 4, 6), bool).at[:, 1:, :4].set(True)
    cut, masks = LOGITS[:, :, 1:, :4], MASKS[:, :, 1:, :4]
    np.testing.assert_allclose(
        pairwise_mask_costs(LOGITS, MASKS, valid=valid)[index],
        pairwise_mask_costs(cut, masks)[index],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        pair(index, LOGITS[:, :3], MASKS, valid=valid), pair(index, cut[:, :3], masks), atol=1e-6
    )


@LOSSES
def test_an_image_without_a_pixel_that_counts_costs_nothing_undefined(index):
    valid = jnp.zeros((2, 4, 6), bool)
    assert np.isfinite(pairwise_mask_costs(LOGITS, MASKS, valid=valid)[index]).all()
    assert np.isfinite(pair(index, LOGITS[:, :3], MASKS, valid=valid)).all()


@LOSSES
def test_sure_predictions_have_finite_losses_and_gradients(index):
    logits = jnp.full((1, 1, 2, 2), 200.0)
    for masks in (jnp.ones((1, 1, 2, 2), bool), jnp.zeros((1, 1, 2, 2), bool)):
        value, gradient = jax.value_and_grad(lambda x, m=masks: pair(index, x, m).sum())(logits)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_masks_of_classes_leave_ignored_pixels_and_padding_out():
    label = jnp.asarray([[[0, 2], [-1, 2]]])
    masks = class_masks(label, jnp.asarray([[2, 0, -1]]))
    np.testing.assert_array_equal(masks[0], [[[0, 1], [0, 1]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]])


def test_shrinking_takes_the_first_pixel_of_each_block():
    masks = jnp.asarray(RNG.uniform(size=(1, 2, 8, 12)) < 0.5)
    np.testing.assert_array_equal(shrink(masks, 2, 3), masks[:, :, ::4, ::4])
    np.testing.assert_array_equal(shrink(masks[:, 0], 2, 3), masks[:, 0, ::4, ::4])


def test_enlarging_keeps_constants_and_places_pixels_at_their_centres():
    np.testing.assert_allclose(enlarge(jnp.full((1, 1, 2, 3), 0.7), 8, 12), 0.7, rtol=1e-6)
    ramp = enlarge(jnp.asarray([[[[0.0, 1.0]]]]), 1, 4)
    np.testing.assert_allclose(ramp[0, 0, 0], [0, 0.25, 0.75, 1], rtol=1e-6)
