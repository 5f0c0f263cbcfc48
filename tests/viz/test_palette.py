import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.viz.palette import VOID, colour_labels, distinct_palette, voc_palette


def test_the_voc_colours_are_the_known_ones():
    palette = voc_palette(256)
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        7: (128, 128, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    for label, colour in known.items():
        assert tuple(palette[label]) == colour


def test_forty_colours_are_far_apart():
    palette = distinct_palette(40).astype(int)
    distance = np.abs(palette[:, None] - palette[None]).max(-1)
    assert distance[~np.eye(40, dtype=bool)].min() >= 30
    assert len({tuple(c) for c in distinct_palette(256)}) == 256


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 300))
def test_a_short_palette_is_the_beginning_of_a_long_one(count):
    np.testing.assert_array_equal(distinct_palette(count), distinct_palette(400)[:count])


def test_the_background_is_grey_and_moves_the_others_by_one():
    palette = distinct_palette(4, background=True)
    assert len(set(palette[0].tolist())) == 1
    np.testing.assert_array_equal(palette[1:], distinct_palette(3))


@pytest.mark.parametrize("strange", [-1, 3, 255])
def test_labels_without_a_colour_are_void(strange):
    palette = distinct_palette(3)
    picture = colour_labels(np.asarray([[0, 2, strange]]), palette)
    np.testing.assert_array_equal(picture[0], [palette[0], palette[2], VOID])
