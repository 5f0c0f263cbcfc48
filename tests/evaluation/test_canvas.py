import numpy as np
import pytest

from ovs_jax.evaluation.canvas import Counts, Painting
from ovs_jax.evaluation.confusion import Confusion, encode_truth
from ovs_jax.evaluation.sliding import Geometry, window_boxes


def painting(size=(20, 30), new_size=(25, 41), classes=5, seed=0):
    geometry = Geometry(window=16, stride=8, short_side=0)
    count = len(window_boxes(*size, window=16, stride=8))
    rng = np.random.default_rng(seed)
    maps = rng.uniform(size=(count, 4, 4, 3)).astype(np.float32)
    tables = rng.uniform(size=(count, 3, classes)).astype(np.float32)
    return Painting(maps=maps, tables=tables, size=size, new_size=new_size, geometry=geometry)


@pytest.mark.parametrize("new_size", [(25, 41), (129, 90), (40, 600)])
def test_labels_are_the_best_of_the_scores_whatever_the_tiling(new_size):
    picture = painting(new_size=new_size)
    found, scores = picture.labels(), picture.scores()
    assert scores.shape == (5, *new_size)
    np.testing.assert_array_equal(found.labels, scores.argmax(axis=0))
    np.testing.assert_allclose(found.confidence, scores.max(axis=0), atol=1e-6)
    assert found.groups.max() < picture.maps.shape[0] * 3


@pytest.mark.parametrize("new_size", [(25, 41), (129, 150)])
def test_counting_on_the_device_equals_counting_the_labels(new_size):
    picture = painting(new_size=new_size)
    label = np.random.default_rng(1).choice([0, 1, 2, 3, 4, 9, 255], size=new_size)
    truth = encode_truth(label, classes=5)
    found, counts = picture.labels(), picture.count(truth)
    expected = np.zeros((6, 5), np.int64)
    valid = truth >= 0
    np.add.at(expected, (truth[valid], found.labels[valid]), 1)
    np.testing.assert_array_equal(counts.confusion.counts, expected)
    groups = np.zeros((len(counts.groups), 6), np.int64)
    np.add.at(groups, (found.groups[valid], truth[valid]), 1)
    np.testing.assert_array_equal(counts.groups, groups)


def test_each_group_takes_the_class_that_most_of_its_pixels_have():
    # Group 0: 3 pixels of class 0 and 1 of class 1. Group 1: 2 of class 1 and 4 of no class.
    groups = np.asarray([[3, 1, 0], [0, 2, 4], [0, 0, 0]])
    named = Counts(Confusion.empty(2), groups).named_by_majority
    np.testing.assert_array_equal(named.counts, [[3, 0], [1, 2], [0, 4]])
    np.testing.assert_allclose(named.iou, [3 / 4, 2 / 7])
