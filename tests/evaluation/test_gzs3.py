import numpy as np
import pytest

from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.gzs3 import ZeroShotScores

COUNTS = np.asarray(
    [
        [6, 2, 0],  # class 0: 6 of 8 found
        [1, 3, 0],  # class 1: 3 of 4 found
        [0, 0, 4],  # class 2, unseen: all found
        [5, 0, 5],  # pixels of no class count for nobody
    ]
)


def test_a_case_that_is_counted_by_hand():
    scores = ZeroShotScores(Confusion(COUNTS), (2,))
    np.testing.assert_allclose(scores.iou, [6 / 9, 3 / 6, 1.0])
    assert scores.seen_iou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores.unseen_iou == 1.0
    seen = scores.seen_iou
    assert scores.harmonic_iou == pytest.approx(2 * seen / (1 + seen))
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 6 + 1) / 3)
    assert scores.frequency_weighted_iou == pytest.approx((8 * 6 / 9 + 4 * 3 / 6 + 4) / 16)
    assert scores.mean_accuracy == pytest.approx((6 / 8 + 3 / 4 + 1) / 3)
    assert scores.pixel_accuracy == pytest.approx(13 / 16)
    assert scores.summary()["unseen_iou"] == 100.0


def test_a_class_without_pixels_makes_the_published_scores_nan_and_the_others_not():
    counts = COUNTS.copy()
    counts[1] = 0
    counts[0, 1] = 2  # it is predicted all the same
    scores = ZeroShotScores(Confusion(counts), (2,))
    assert np.isnan(scores.iou[1])
    assert np.isnan(scores.seen_iou)
    assert np.isnan(scores.harmonic_iou)
    assert scores.seen_iou_of_present == pytest.approx(6 / 8)
    assert scores.harmonic_iou_of_present == pytest.approx(2 * 0.75 / 1.75)
    # The class has no IoU, but counts among those that occur.
    assert scores.mean_iou == pytest.approx((6 / 8 + 1) / 3)
    row = scores.rows(("a", "b", "c"))[1]
    assert row["iou"] is None
    assert row["group"] == "seen"


def test_without_unseen_classes_there_is_no_harmonic_mean():
    scores = ZeroShotScores(Confusion(COUNTS), ())
    assert np.isnan(scores.unseen_iou)
    assert np.isnan(scores.harmonic_iou)
    nothing = ZeroShotScores(Confusion(np.diag([1, 1, 1, 0])[:, :3][:, [1, 0, 2]]), (2,))
    assert nothing.seen_iou == 0.0
    assert nothing.harmonic_iou == 0.0


def test_counts_merge_before_scores_are_made():
    half = Confusion(COUNTS)
    merged = ZeroShotScores(half + half, (2,))
    np.testing.assert_allclose(merged.iou, ZeroShotScores(half, (2,)).iou)


@pytest.mark.parametrize("unseen", [(3,), (0, 0)])
def test_unseen_classes_that_do_not_fit_are_refused(unseen):
    with pytest.raises(ValueError, match="unseen classes: expected"):
        ZeroShotScores(Confusion(COUNTS), unseen)


def test_without_seen_classes_only_unseen_ones_have_a_score():
    scores = ZeroShotScores(Confusion(COUNTS), (0, 1, 2))
    assert scores.unseen_iou == pytest.approx(np.mean(scores.iou))
    assert np.isnan([scores.seen_iou, scores.seen_iou_of_present, scores.harmonic_iou]).all()
