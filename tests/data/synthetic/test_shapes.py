import numpy as np
import pytest

from ovs_jax.data.synthetic.catalogue import OBJECTS
from ovs_jax.data.synthetic.scene import Pose
from ovs_jax.data.synthetic.shapes import BODY, SHAPES
from ovs_jax.data.synthetic.stamp import stamp


def pose(**changes):
    values = {"x": 0.5, "y": 0.5, "area": 0.2, "aspect": 1.0, "angle": 0.0, "direction": 1}
    return Pose(**(values | changes))


def test_every_object_class_has_a_shape():
    assert {kind.shape for kind in OBJECTS.values()} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_silhouette_is_mostly_textured_body_and_has_the_area_of_its_pose(name):
    result = stamp(SHAPES[name], pose(), size=200)
    inside = result.roles > 0
    assert abs(inside.sum() / 200**2 - 0.2) < 0.02
    assert (result.roles == BODY).sum() > 0.55 * inside.sum()
    assert min(result.roles.shape) > 0.25 * 200, "too thin to be several patches wide"


def test_direction_mirrors_a_silhouette():
    right = stamp(SHAPES["mug"], pose(), size=200).roles
    left = stamp(SHAPES["mug"], pose(direction=-1), size=200).roles
    assert abs(right.shape[1] - left.shape[1]) <= 1
    width = min(right.shape[1], left.shape[1])
    assert (right[:, :width] == left[:, ::-1][:, :width]).mean() > 0.97


def test_rotation_and_aspect_change_the_box():
    upright = stamp(SHAPES["bus"], pose(), size=200).roles.shape
    turned = stamp(SHAPES["bus"], pose(angle=np.pi / 2), size=200).roles.shape
    assert np.allclose(upright, turned[::-1], atol=2)
    wide = stamp(SHAPES["ball"], pose(aspect=2.0), size=200).roles.shape
    assert abs(wide[1] / wide[0] - 2) < 0.05


def test_a_silhouette_at_the_border_is_cut_to_the_image():
    whole = stamp(SHAPES["ball"], pose(), size=100)
    cut = stamp(SHAPES["ball"], pose(x=0.0, y=1.0), size=100)
    left, top, right, bottom = cut.box
    assert (left, bottom) == (0, 100)
    assert (top, right) == (100 - cut.roles.shape[0], cut.roles.shape[1])
    assert abs((cut.roles > 0).sum() / (whole.roles > 0).sum() - 0.25) < 0.03
