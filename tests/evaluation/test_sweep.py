import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.evaluation.canvas import Painting
from ovs_jax.evaluation.confusion import encode_truth
from ovs_jax.evaluation.painting import add_background
from ovs_jax.evaluation.sliding import Geometry, window_boxes
from ovs_jax.evaluation.sweep import Sweep, _sweep_tile, count_thresholds, parse_range

THRESHOLDS = (0.2, 0.45, 0.6, 0.95)


def painting(seed=0, size=(20, 30), new_size=(25, 41), classes=4):
    geometry = Geometry(window=16, stride=8, short_side=0)
    count = len(window_boxes(*size, window=16, stride=8))
    rng = np.random.default_rng(seed)
    maps = rng.uniform(size=(count, 4, 4, 3)).astype(np.float32)
    tables = rng.uniform(size=(count, 3, classes)).astype(np.float32)
    return Painting(maps=maps, tables=tables, size=size, new_size=new_size, geometry=geometry)


def truth_of(picture, classes=5, seed=1):
    label = np.random.default_rng(seed).choice([0, 1, 2, 3, 4, 9, 255], size=picture.new_size)
    return encode_truth(label, classes=classes)


def with_background(picture, threshold, rule):
    tables = np.asarray(add_background(jnp.asarray(picture.tables), threshold, rule=rule))
    return Painting(picture.maps, tables, picture.size, picture.new_size, picture.geometry)


@pytest.mark.parametrize("rule", ["best_group", "fixed"])
def test_one_pass_counts_what_a_pass_for_each_threshold_counts(rule):
    sweep = Sweep.empty(THRESHOLDS, 5)
    singles = dict.fromkeys(THRESHOLDS, 0)
    for seed in range(2):
        picture = painting(seed)
        truth = truth_of(picture, seed=seed)
        counts, groups = count_thresholds(picture, truth, thresholds=sweep.thresholds, rule=rule)
        sweep = sweep.plus(counts)
        for threshold in THRESHOLDS:
            single = with_background(picture, threshold, rule).count(truth)
            singles[threshold] += single.confusion.counts
            np.testing.assert_array_equal(groups, single.groups)
    shares = []
    for threshold in THRESHOLDS:
        np.testing.assert_array_equal(sweep.confusion(threshold).counts, singles[threshold])
        shares.append(singles[threshold][:, 0].sum())
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_other_thresholds_of_the_same_number_compile_nothing():
    picture = painting()
    truth = truth_of(picture)
    count_thresholds(picture, truth, thresholds=THRESHOLDS, rule="fixed")
    before = _sweep_tile._cache_size()
    count_thresholds(picture, truth, thresholds=(0.1, 0.3, 0.5, 0.7), rule="fixed")
    assert _sweep_tile._cache_size() == before


def test_scores_of_every_threshold_by_hand():
    # Four pixels, class 1 best everywhere. Truth: two of the background, two of class 1. They win
    # at none, one, one and both of the two thresholds.
    counts = np.zeros((3, 2, 3), np.int64)
    counts[0, 1] = [1, 1, 0]
    counts[1, 1] = [0, 1, 1]
    sweep = Sweep.empty((0.5, 0.25), 2).plus(counts)
    assert sweep.thresholds == (0.25, 0.5)
    low, high = sweep.rows()
    assert low["mean_iou"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2, abs=1e-4)
    assert low["background_share"] == 25.0
    assert high["mean_iou"] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2, abs=1e-4)
    assert high["pixel_accuracy"] == 75.0
    assert sweep.best == low  # of equal scores the lower threshold


def test_a_sweep_over_nothing_has_no_best():
    assert Sweep.empty((0.5,), 2).best is None


def test_thresholds_are_written_as_a_range_or_a_list():
    assert parse_range("0.1:0.5:0.2", option="--x") == (0.1, 0.3, 0.5)
    assert parse_range("0.05:0.95:0.05", option="--x")[-1] == 0.95
    assert len(parse_range("0.05:0.95:0.05", option="--x")) == 19
    assert parse_range("0.9,0.1", option="--x") == (0.9, 0.1)


@pytest.mark.parametrize("text", ["", "0.1:0.5", "a", "0.5:0.1:0.1", "0:1:0", "0:1:-1", "0:2:0.1"])
def test_what_is_no_range_is_an_error_that_shows_one(text):
    with pytest.raises(ValueError, match=r"--sweep-background: expected .* 0\.05:0\.95:0\.05"):
        parse_range(text, option="--sweep-background")


@pytest.mark.parametrize(
    "thresholds", [(), (0.5, 1.5), (float("nan"),), tuple(i / 100 for i in range(101))]
)
def test_thresholds_that_make_no_sense_are_an_error(thresholds):
    with pytest.raises(ValueError, match="background sweep: expected 1 to 100 thresholds of 0 to"):
        Sweep.empty(thresholds, 3)
