import numpy as np
import pytest

from ovs_jax.viz.groups import draw_groups
from ovs_jax.viz.overlay import SMALLEST, blend, enlarge, outlines, overlay
from ovs_jax.viz.palette import distinct_palette

NAMES = ("dog", "sofa", "an exceedingly long class name that fits nowhere")


def scene(height=100, width=120):
    labels = np.zeros((height, width), np.int32)
    labels[height // 2 :] = 1
    labels[:3, :3] = 2
    return np.full((height, width, 3), 100, np.uint8), labels


def test_the_tint_is_the_weighted_mean_of_photograph_and_colour():
    image, labels = scene()
    palette = distinct_palette(3)
    picture = blend(image, labels, palette, opacity=0.25)
    np.testing.assert_allclose(picture[20, 60], 0.75 * 100 + 0.25 * palette[0], atol=0.51)
    np.testing.assert_array_equal(picture[49, 60], [255, 255, 255])


def test_without_opacity_only_the_lines_show():
    image, labels = scene()
    picture = blend(image, labels, distinct_palette(3), opacity=0.0)
    changed = (picture != image).any(-1)
    np.testing.assert_array_equal(changed, outlines(labels))


def test_a_label_that_is_not_tinted_is_darkened():
    image, labels = scene()
    picture = blend(image, labels, distinct_palette(3), opacity=0.5, untinted=0)
    np.testing.assert_array_equal(picture[20, 60], [75, 75, 75])


def test_small_pictures_are_enlarged_by_whole_factors():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarge(image, longer_side=5)
    assert large.shape == (6, 6, 3)
    np.testing.assert_array_equal(large[::3, ::3], image)
    assert enlarge(large, longer_side=6) is not None
    np.testing.assert_array_equal(enlarge(large, longer_side=6), large)


@pytest.mark.parametrize("size", [(8, 8), (100, 120), (30, 700), (700, 30), (600, 800)])
def test_every_class_that_occurs_stands_in_the_legend(size):
    image, labels = scene(*size)
    palette = distinct_palette(3)
    picture = overlay(image, labels, NAMES, palette=palette)
    factor = -(-SMALLEST // max(size))
    height = size[0] * factor
    assert picture.shape[0] > height
    legend = picture[height:]
    for colour in palette:
        assert (legend == colour).all(-1).sum() > 20


def test_a_large_region_is_named_and_a_tiny_one_is_not():
    image, labels = scene(400, 500)
    palette = distinct_palette(3)
    picture = overlay(image, labels, NAMES, palette=palette)
    plain = blend(image, labels, palette)
    written = (picture[:400] != plain).any(-1)
    assert written[60:140, 200:300].any()
    assert not written[:3, :3].any()


def test_names_never_cover_one_another():
    labels = np.zeros((384, 384), np.int32)
    labels[180:204] = 1
    picture = overlay(
        np.full((384, 384, 3), 90, np.uint8), labels, ("a", "b"), palette=distinct_palette(2)
    )
    assert picture.shape[1] == 384


def test_a_label_without_a_name_is_an_error():
    image, labels = scene()
    with pytest.raises(ValueError, match="expected 0 to 1, got 0 to 2"):
        overlay(image, labels, ("dog", "sofa"), palette=distinct_palette(3))


def test_groups_far_apart_in_number_get_different_colours():
    image, labels = scene()
    picture = draw_groups(image, labels * 1000, opacity=1.0)
    assert tuple(picture[20, 60]) == tuple(distinct_palette(1)[0])
    assert tuple(picture[70, 60]) == tuple(distinct_palette(2)[1])
