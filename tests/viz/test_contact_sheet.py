import numpy as np
import pytest

from ovs_jax.viz.contact_sheet import Scene, contact_sheet
from ovs_jax.viz.palette import VOID, distinct_palette

NAMES = ("sky", "dog", "boat")


def scene(height=40, width=60, title=""):
    labels = np.zeros((height, width), np.int32)
    truth = labels.copy()
    truth[:10] = 255
    labels[20:] = 1
    return Scene(np.zeros((height, width, 3), np.uint8), labels, labels, truth, title)


def test_a_page_has_a_line_a_scene_and_a_legend_of_the_classes_that_occur():
    palette = distinct_palette(3)
    one = contact_sheet([scene()], NAMES, palette=palette, cell=80)
    two = contact_sheet([scene(), scene(60, 40, "second")], NAMES, palette=palette, cell=80)
    assert two.shape[1] == one.shape[1] >= 4 * 80
    assert two.shape[0] > one.shape[0] + 80
    for label in (0, 1):
        assert (one == palette[label]).all(-1).any()
    assert not (one == palette[2]).all(-1).any()
    assert (one == np.asarray(VOID)).all(-1).sum() > 80 * 10


def test_scenes_stand_side_by_side_in_columns():
    palette = distinct_palette(3)
    scenes = [scene() for _ in range(3)]
    wide = contact_sheet(scenes, NAMES, palette=palette, cell=60, columns=2)
    tall = contact_sheet(scenes, NAMES, palette=palette, cell=60, columns=1)
    assert wide.shape[1] > 1.8 * tall.shape[1]
    assert wide.shape[0] < tall.shape[0]


def test_no_scene_is_an_error():
    with pytest.raises(ValueError, match="at least one scene, got none"):
        contact_sheet([], NAMES, palette=distinct_palette(3))
