from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.evaluation.painting import hard_shares
from ovs_jax.evaluation.refinement import Pamr, affinities, refine, refine_groups

SMALL = Pamr(iterations=3, dilations=(1, 2), width=0.2)
SIDE = 8


def by_the_paper(shares, image, pamr):
    """Pixel by pixel, neighbour by neighbour, in double precision."""
    height, width = image.shape[:2]
    shares, image = shares.astype(np.float64), image.astype(np.float64)
    steps = [(a * d, b * d) for d in pamr.dilations for a in (-1, 0, 1) for b in (-1, 0, 1)]
    steps = [step for step in steps if step != (0, 0)]
    weights = np.zeros((len(steps), height, width))
    places = np.zeros((len(steps), height, width, 2), int)
    for y in range(height):
        for x in range(width):
            at = [
                (min(max(y + down, 0), height - 1), min(max(x + right, 0), width - 1))
                for down, right in steps
            ]
            colours = np.stack([image[place] for place in at])
            deviation = colours.std(axis=0)
            likeness = -(np.abs(image[y, x] - colours) / (pamr.width * deviation)).mean(axis=1)
            weights[:, y, x] = np.exp(likeness) / np.exp(likeness).sum()
            places[:, y, x] = at
    for _ in range(pamr.iterations):
        neighbours = shares[places[..., 0], places[..., 1]]
        shares = (weights[..., None] * neighbours).sum(axis=0)
    return weights, shares


def example(height=5, width=7, groups=3, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(height, width, 3)).astype(np.float32)
    shares = rng.dirichlet(np.ones(groups), size=(height, width)).astype(np.float32)
    return shares, image


@partial(jax.jit, static_argnames="pamr")
def both(shares, image, extent, pamr):
    return affinities(image, extent, pamr=pamr), refine(shares, image, extent, pamr=pamr)


def run(shares, image, *, pamr=SMALL):
    """In a window of one size that the image does not fill, the rest being nonsense."""
    height, width = image.shape[:2]
    margin = ((0, SIDE - height), (0, SIDE - width), (0, 0))
    weights, refined = both(
        np.pad(shares, margin, constant_values=9.0),
        np.pad(image, margin, constant_values=-7.0),
        np.asarray([height, width], np.int32),
        pamr,
    )
    return np.asarray(weights)[:, :height, :width], np.asarray(refined)[:height, :width]


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 3)])
def test_it_computes_what_the_paper_defines_whatever_lies_outside_the_image(size):
    shares, image = example(*size)
    weights, refined = by_the_paper(shares, image, SMALL)
    found_weights, found = run(shares, image)
    np.testing.assert_allclose(found_weights, weights, atol=1e-5)
    np.testing.assert_allclose(found, refined, atol=1e-5)
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-5)


def test_two_pixels_by_hand():
    # One row, black and white, at distance 1: of the eight neighbours of the left pixel five are
    # black (the edge repeated) and three are white. Their deviation is sqrt(15)/8.
    image = np.asarray([[[0.0], [1.0]]], np.float32).repeat(3, axis=-1)
    pamr = Pamr(iterations=1, dilations=(1,), width=2.0)
    white = np.exp(-1 / (2 * np.sqrt(15) / 8))
    expected = 3 * white / (5 + 3 * white)
    _, found = run(np.asarray([[[0.0], [1.0]]], np.float32), image, pamr=pamr)
    np.testing.assert_allclose(found[0, :, 0], [expected, 1 - expected], rtol=1e-5)


def test_a_mask_moves_to_the_edge_in_the_image():
    image, mask = np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.float32)
    image[:, 4:] = 1
    mask[:, 3:] = 1  # one column too many
    _, found = run(mask, image)
    assert (found[:, :4] < 0.5).all()
    assert (found[:, 4:] > 0.5).all()


def test_where_all_is_of_one_colour_neighbours_count_alike():
    flat = np.full((8, 8, 3), 0.3, np.float32)
    np.testing.assert_allclose(run(flat, flat)[0], 1 / 16, rtol=1e-5)


def test_the_windows_of_an_image_are_refined_each_and_their_number_compiles_nothing():
    rng = np.random.default_rng(1)
    maps = rng.uniform(size=(4, 2, 2, 3)).astype(np.float32)
    windows = rng.normal(size=(4, SIDE, SIDE, 3)).astype(np.float32)
    shares = np.asarray(hard_shares(jnp.asarray(maps), (SIDE, SIDE)))
    extent = np.asarray([8, 7], np.int32)
    before = refine_groups._cache_size()
    for count in (3, 1, 4):
        found = refine_groups(maps, windows, count=np.int32(count), extent=extent, pamr=SMALL)
        _, last = run(shares[count - 1, :, :7], windows[count - 1, :, :7])
        np.testing.assert_allclose(found[count - 1, :, :7], last, atol=1e-5)
        assert not np.asarray(found[count:]).any()
    assert refine_groups._cache_size() == before + 1


@pytest.mark.parametrize(
    "wrong", [{"iterations": 0}, {"dilations": ()}, {"dilations": (0, 1)}, {"width": 0.0}]
)
def test_a_refinement_that_does_nothing_is_an_error(wrong):
    with pytest.raises(ValueError, match="refinement: expected at least one iteration"):
        Pamr(**wrong)


def test_its_description_has_every_number():
    shown = str(Pamr(iterations=7, dilations=(3, 5), width=0.25))
    for part in ("7 iterations", "3, 5", "0.25"):
        assert part in shown
