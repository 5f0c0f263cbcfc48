import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.viz.text import caption_bar, legend, shorten, text_size


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=40), width=st.integers(20, 200))
def test_a_shortened_text_fits(text, width):
    assert text_size(shorten(text, width, 12), 12)[0] <= width


def test_a_text_that_fits_is_left_alone():
    assert shorten("dog", 100, 12) == "dog"
    assert shorten("a very long name indeed", 60, 12).endswith("…")


def test_a_caption_bar_has_ink_within_the_width():
    bar = caption_bar("prediction", width=120, size=14)
    assert bar.shape[1] == 120
    dark = (bar.min(axis=-1) < 100).any(axis=0)
    assert dark.any()
    assert not dark[0]


@pytest.mark.parametrize("width", [80, 300, 1000])
def test_a_legend_shows_every_colour_in_as_many_lines_as_it_takes(width):
    colours = [(230, 40, 40), (40, 230, 40), (40, 40, 230), (230, 230, 40), (40, 230, 230)]
    entries = [(f"class {i}", colour) for i, colour in enumerate(colours)]
    picture = legend(entries, width=width, size=14)
    assert picture.shape[1] == width
    for colour in colours:
        assert (picture == np.asarray(colour)).all(-1).sum() > 50
    assert picture.shape[0] > legend(entries[:1], width=width, size=14).shape[0] or width == 1000


def test_an_empty_legend_is_a_thin_white_strip():
    picture = legend([], width=50, size=14)
    assert (picture == 255).all()
