from dataclasses import replace

import numpy as np
import pytest

from ovs_jax.data.synthetic import WorldConfig
from ovs_jax.data.synthetic.drawing import draw_scene
from ovs_jax.data.synthetic.scene import Boundary, Light, Pose, Region, Scene, SceneObject
from ovs_jax.data.synthetic.textures import Surface

PLAIN = WorldConfig(noise=0.0)
WHITE, RED, GREEN = (255.0, 255.0, 255.0), (200.0, 0.0, 0.0), (0.0, 120.0, 0.0)
STILL = Light(gain=1.0, slope=0.0, angle=0.0, noise_window=(0.0, 0.0))
MIDDLE = Boundary(angle=0.0, offset=0.0, amplitude=0.0, frequency=1.0, phase=0.0)
SURFACE = Surface("dots", period=6.0, angle=0.0, phase=(0.0, 0.0))


def region(name, colour):
    return Region(name, SURFACE, colour, colour, ("plain",))


def ball(x, y, area=0.1):
    pose = Pose(x=x, y=y, area=area, aspect=1.0, angle=0.0, direction=1)
    return SceneObject("ball", pose, SURFACE, RED, RED, "red")


def test_label_and_colour_agree_on_where_things_are():
    scene = Scene(
        (ball(0.25, 0.5),), (region("snow", WHITE), region("grass", GREEN)), MIDDLE, STILL
    )
    drawing = draw_scene(scene, PLAIN)
    names = PLAIN.class_names
    assert names[drawing.label[0, 0]] == "snow"
    assert names[drawing.label[0, 63]] == "grass"
    assert names[drawing.label[32, 16]] == "ball"
    assert (drawing.label[:, 32:] == names.index("grass")).all()
    assert tuple(drawing.image[0, 0]) == (255, 255, 255)
    assert tuple(drawing.image[0, 63]) == (0, 120, 0)
    assert tuple(drawing.image[32, 16]) == (200, 0, 0)
    # Away from edges, which are softened, colour and label tell the same.
    red = drawing.image[..., 0] == 200
    assert abs(red.mean() - (drawing.label == names.index("ball")).mean()) < 0.03


@pytest.mark.parametrize("size", [32, 64, 128, 224])
def test_an_object_covers_the_area_of_its_pose_at_every_size(size):
    scene = Scene((ball(0.5, 0.5, area=0.2),), (region("snow", WHITE),), MIDDLE, STILL)
    label = draw_scene(scene, replace(PLAIN, size=size)).label
    share = (label == PLAIN.class_names.index("ball")).mean()
    # OpenCV counts the pixels that an edge touches, half a pixel around.
    radius = size * (0.2 / np.pi) ** 0.5
    assert 0.2 * 0.99 < share < 0.2 * (1 + 0.75 / radius) ** 2


def test_later_objects_hide_earlier_ones():
    kite = replace(ball(0.5, 0.5), name="kite", body=GREEN, mark=GREEN)
    front = Scene((ball(0.5, 0.5), kite), (region("snow", WHITE),), MIDDLE, STILL)
    drawing = draw_scene(front, PLAIN)
    assert PLAIN.class_names[drawing.label[30, 32]] == "kite"
    assert tuple(drawing.image[30, 32]) == (0, 120, 0)


def test_the_hole_of_a_donut_shows_what_is_behind():
    donut = replace(ball(0.5, 0.5, area=0.3), name="donut")
    label = draw_scene(Scene((donut,), (region("snow", WHITE),), MIDDLE, STILL), PLAIN).label
    assert PLAIN.class_names[label[32, 32]] == "snow"
    assert PLAIN.class_names[label[32, 18]] == "donut"


def test_light_changes_brightness_and_noise_is_centred():
    scene = Scene((), (region("wall", (100.0, 100.0, 100.0)),), MIDDLE, STILL)
    bright = replace(scene, light=replace(STILL, gain=1.2))
    assert (draw_scene(bright, PLAIN).image == 120).all()
    sloped = draw_scene(replace(scene, light=replace(STILL, slope=0.4)), PLAIN).image
    assert sloped[:, 0].mean() < 82
    assert sloped[:, 63].mean() > 118
    noisy = draw_scene(scene, replace(PLAIN, noise=8.0)).image.astype(float)
    assert abs(noisy.mean() - 100) < 0.5
    assert abs(noisy.std() - 8) < 0.5
