import numpy as np
import pytest

from ovs_jax.data.synthetic.catalogue import COLOURS, OBJECTS, STUFF
from ovs_jax.data.synthetic.textures import NOISES, TEXTURES, Surface, pixel_noise, texture_field

EVERY = (*TEXTURES, *NOISES)


def field(texture, *, size=64, angle=0.0, phase=(0.3, 0.6), period=6.0, box=None):
    surface = Surface(texture, period=period, angle=angle, phase=phase)
    centre = (size / 2, size / 2)
    return texture_field(surface, box or (0, 0, size, size), centre=centre, size=size)


@pytest.mark.parametrize("texture", EVERY)
def test_a_texture_mixes_both_colours_and_varies_within_a_patch(texture):
    result = field(texture)
    assert result.shape == (64, 64)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.std() > 0.1
    if texture != "clouds":  # the one that is meant to be smooth
        patches = result.reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(64, 64)
        assert np.median(patches.std(1)) > 0.1


def test_no_two_textures_look_alike():
    fields = {texture: field(texture).ravel() for texture in EVERY}
    for first in EVERY:
        for second in EVERY:
            if first < second:
                correlation = np.corrcoef(fields[first], fields[second])[0, 1]
                assert abs(correlation) < 0.9, (first, second)


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_regular_texture_scales_with_the_image(texture):
    small, large = field(texture, size=64), field(texture, size=128)
    # Pixel centres of the small image lie at corners of four pixels of the large one.
    averaged = large.reshape(64, 2, 64, 2).mean((1, 3))
    assert np.abs(small - averaged).mean() < 0.1


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_box_shows_its_part_of_the_whole(texture):
    part = field(texture, box=(10, 20, 40, 33))
    np.testing.assert_allclose(part, field(texture)[20:33, 10:40], atol=1e-5)


def test_stripes_turn_with_the_angle():
    upright, lying = field("bands", angle=0.0), field("bands", angle=np.pi / 2)
    assert np.abs(np.diff(upright, axis=0)).mean() > 0.2
    assert np.abs(np.diff(upright, axis=1)).mean() < 1e-3
    np.testing.assert_allclose(np.abs(np.diff(lying, axis=0)).mean(), 0, atol=1e-3)


def test_the_phase_moves_a_texture():
    for texture in ("stripes", "fur"):
        assert np.abs(field(texture) - field(texture, phase=(0.8, 0.1))).mean() > 0.1


def test_pixel_noise_depends_on_its_window():
    first, second = pixel_noise(64, phase=(0.0, 0.0)), pixel_noise(64, phase=(0.99, 0.5))
    assert first.shape == second.shape == (64, 64, 3)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_the_catalogue_names_only_textures_and_colours_that_exist():
    for kind in (*OBJECTS.values(), *STUFF.values()):
        assert kind.texture in EVERY
        for *_, body, mark in kind.colours:
            assert body in COLOURS
            assert mark in {*COLOURS, "darker", "lighter"}
