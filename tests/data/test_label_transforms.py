import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data.label_transforms import (
    SHORT_SIDES_512,
    LabelRecipe,
    change_hue,
    jitter_colours,
    resize_label,
    short_edge_size,
)


def test_the_shorter_side_is_exact_unless_the_longer_one_would_be_too_long():
    assert short_edge_size(427, 640, short=640, longest=2560) == (640, 959)
    assert short_edge_size(640, 427, short=640, longest=2560) == (959, 640)
    assert short_edge_size(100, 1000, short=640, longest=2560) == (256, 2560)
    assert short_edge_size(1, 9000, short=640, longest=2560) == (1, 2560)
    with pytest.raises(ValueError, match="expected width of at least 1 pixel, got 0"):
        short_edge_size(5, 0, short=640, longest=2560)


def test_labels_are_taken_from_the_pixel_at_the_floor():
    label = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(
        resize_label(label, (4, 4)), [[0, 0, 1, 2]] * 2 + [[3, 3, 4, 5]] * 2
    )
    np.testing.assert_array_equal(resize_label(label, (1, 2)), [[0, 1]])


def test_a_whole_turn_of_the_hue_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(change_hue(image, 180), change_hue(image, 0))
    assert (change_hue(image, 90) != change_hue(image, 0)).any()


def test_colours_change_in_both_orders_and_sometimes_not_at_all():
    image = np.random.default_rng(0).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    seen = {jitter_colours(image, np.random.default_rng(seed)).tobytes() for seed in range(60)}
    assert image.tobytes() in seen
    assert len(seen) > 40


def test_the_published_sides_are_drawn_from():
    assert LabelRecipe().choices == (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960)
    assert (SHORT_SIDES_512[0], SHORT_SIDES_512[-1], len(SHORT_SIDES_512)) == (256, 1024, 16)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_every_image_becomes_a_square_whose_labels_fit_its_pixels(height, width, seed):
    # What the label says is painted in the image, so that the two can be compared.
    label = (np.add.outer(np.arange(height), np.arange(width)) // 40).astype(np.int32) % 3
    image = np.repeat((label * 100).astype(np.uint8)[..., None], 3, axis=-1)
    recipe = LabelRecipe(size=32, jitter=False)
    pixels, labels = recipe(image, label, np.random.default_rng(seed), ignored=-1)
    assert pixels.shape == (32, 32, 3)
    assert labels.shape == (32, 32)
    missing = labels == -1
    assert (pixels[missing] == 128).all()
    # Padding stands at the bottom and on the right.
    inside = ~missing
    rows, cols = inside.any(1).sum(), inside.any(0).sum()
    assert inside[:rows, :cols].all()
    colours = np.arange(0, 300, 100)[:, None]
    off = np.abs(pixels[..., None, :] - colours).sum(-1)
    # Edges are blurred, and moved by a pixel at most; most of the picture is neither.
    agrees = (off.argmin(-1) == labels)[inside]
    assert agrees.mean() > 0.6


def test_the_same_generator_gives_the_same_example_and_flips_both_alike():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    label = rng.integers(0, 3, (40, 50), dtype=np.int32)

    def example(flip):
        recipe = LabelRecipe(size=24, short_sides=(24,), jitter=False, flip=flip)
        return recipe(image, label, np.random.default_rng(1), ignored=-1)

    plain, again, turned = example(0.0), example(0.0), example(1.0)
    np.testing.assert_array_equal(plain[0], again[0])
    np.testing.assert_array_equal(plain[0][:, ::-1], turned[0])
    np.testing.assert_array_equal(plain[1][:, ::-1], turned[1])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"size": 0}, "recipe.size: expected at least 1"),
        ({"short_sides": (0,)}, "short_sides and longest of at least 1"),
        ({"flip": 2.0}, "recipe.flip: expected a probability"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        LabelRecipe(**choices)
