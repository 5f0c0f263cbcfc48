"""Tiles against the whole calculation in NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.evaluation.confusion import Confusion, encode_truth
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.mask_tiles import spans
from ovs_jax.interpolation import linear_matrix

UNSEEN = np.asarray([False, True, False, True, False])


def linear(size, new_size):
    return linear_matrix(size, new_size, align_corners=False).astype(np.float64)


def whole(painting):
    """The scores of all classes at once."""
    up = [linear(*n) for n in zip(painting.logits.shape[1:], painting.padded, strict=True)]
    full = np.einsum("yr,xc,qrc->qyx", *up, painting.logits.astype(np.float64))
    shares = 1 / (1 + np.exp(-full))
    at = np.einsum("qc,qyx->cyx", painting.mask_scores, shares)[
        :, : painting.size[0], : painting.size[1]
    ]
    out = [linear(*n) for n in zip(painting.size, painting.new_size, strict=True)]
    return np.einsum("oy,px,cyx->cop", *out, at)


@settings(max_examples=60)
@given(
    st.integers(1, 60),
    st.sampled_from([1, 4]),
    st.integers(1, 400),
    st.integers(0, 31),
    st.sampled_from([5, 16, 64]),
)
def test_the_tiles_of_an_axis_are_the_whole_resize(cells, stride, new_size, cut, tile):
    padded = cells * stride
    size = max(padded - cut, 1)
    up, out = linear(cells, padded), linear(size, new_size)
    want = out @ up[:size]
    reached = 0
    for span in spans(cells, padded=padded, size=size, new_size=new_size, tile=tile):
        assert span.start == reached
        reached += span.count
        window = np.zeros((span.up.shape[1], cells))
        places = np.arange(span.cell, min(span.cell + len(window), cells))
        window[places - span.cell, places] = 1
        found = (span.out @ span.up @ window)[: span.count]
        np.testing.assert_allclose(found, want[span.inside], atol=1e-5)
    assert reached == new_size


@pytest.fixture(scope="module")
def painting():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 16, 24)).astype(np.float32) * 3
    scores = rng.random((6, 5), np.float32)
    return MaskPainting(logits, scores, UNSEEN, (64, 96), (61, 90), (70, 100))


def test_scores_and_labels_are_those_of_the_whole_calculation(painting):
    want = whole(painting)
    for gamma in (0.0, 0.3):
        calibrated = want - np.where(UNSEEN, 0, gamma)[:, None, None]
        np.testing.assert_allclose(replace(painting, gamma=gamma).scores(), calibrated, atol=1e-5)
        found = replace(painting, gamma=gamma).labels()
        top = np.sort(calibrated, axis=0)
        clear = top[-1] - top[-2] > 1e-5
        np.testing.assert_array_equal(found.labels[clear], calibrated.argmax(0)[clear])
        np.testing.assert_allclose(found.confidence, top[-1], atol=1e-5)
        assert found.groups.min() >= 0
        assert found.groups.max() < 6


def test_a_sweep_of_calibrations_counts_what_each_alone_gives(painting):
    rng = np.random.default_rng(1)
    label = rng.choice([0, 1, 2, 3, 4, 7, 255], size=painting.new_size)
    truth = encode_truth(label, classes=5)
    gammas = (0.0, 0.1, 0.5, 9.0)
    counts = painting.count(truth, gammas=gammas)
    for gamma, found in zip(gammas, counts, strict=True):
        predicted = replace(painting, gamma=gamma).labels().labels
        want = np.zeros((6, 5), int)
        np.add.at(want, (truth[truth >= 0], predicted[truth >= 0]), 1)
        np.testing.assert_array_equal(found, want)
    assert Confusion(counts[-1]).predicted_area[~UNSEEN].sum() == 0
    with pytest.raises(ValueError, match=r"truth: expected \(70, 100\) pixels"):
        painting.count(truth[1:], gammas=gammas)


def test_of_equal_scores_the_first_class_is_taken():
    logits = np.zeros((6, 16, 24), np.float32)
    for scores, want in (([1, 1, 1, 1, 1], 0), ([0, 1, 1, 1, 0], 1), ([0, 0, 1, 1, 1], 2)):
        same = np.repeat(np.asarray([scores], np.float32), 6, axis=0)
        found = MaskPainting(logits, same, UNSEEN, (64, 96), (64, 96), (8, 8)).labels()
        assert (found.labels == want).all()


def test_without_seen_or_without_unseen_classes_the_others_win(painting):
    for unseen in (np.zeros(5, bool), np.ones(5, bool)):
        alone = MaskPainting(
            painting.logits, painting.mask_scores, unseen, (64, 96), (61, 90), (70, 100)
        )
        top = np.sort(whole(alone), axis=0)
        clear = top[-1] - top[-2] > 1e-5
        labels = replace(alone, gamma=0.2).labels().labels
        np.testing.assert_array_equal(labels[clear], whole(alone).argmax(0)[clear])


def test_a_size_beyond_the_padded_image_is_refused(painting):
    with pytest.raises(ValueError, match=r"size: expected 1 to the \(64, 96\)"):
        MaskPainting(painting.logits, painting.mask_scores, UNSEEN, (64, 96), (65, 90), (70, 100))
