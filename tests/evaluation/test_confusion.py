import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.evaluation.confusion import (
    Confusion,
    count_pixels,
    encode_truth,
    over_hosts,
)


def confusion_of(label, predicted, *, classes, **rules):
    truth = encode_truth(np.asarray(label), classes=classes, **rules)
    counts = count_pixels(jnp.asarray(truth), jnp.asarray(predicted, jnp.int32), classes=classes)
    assert counts.dtype == jnp.int32
    return Confusion(np.asarray(counts))


def test_four_pixels_counted_by_hand():
    confusion = confusion_of([[0, 0], [1, 1]], [[0, 1], [1, 1]], classes=2)
    assert confusion.counts.tolist() == [[1, 1], [0, 2], [0, 0]]
    np.testing.assert_allclose(confusion.iou, [1 / 2, 2 / 3])
    np.testing.assert_allclose(confusion.accuracy, [1 / 2, 1.0])
    assert confusion.mean_iou == pytest.approx(7 / 12)
    assert confusion.pixel_accuracy == pytest.approx(3 / 4)


def test_ignored_pixels_count_nowhere():
    confusion = confusion_of([[255, 255], [0, 1]], [[1, 0], [0, 0]], classes=2)
    assert confusion.counts.sum() == 2
    np.testing.assert_allclose(confusion.iou, [1 / 2, 0.0])
    assert confusion.outside == 0


def test_a_class_neither_present_nor_predicted_is_left_out_of_the_mean():
    confusion = confusion_of([[0, 0]], [[0, 0]], classes=3)
    np.testing.assert_array_equal(np.isnan(confusion.iou), [False, True, True])
    assert confusion.mean_iou == 1.0


def test_a_class_predicted_but_absent_scores_zero_and_is_not_left_out():
    confusion = confusion_of([[0, 0]], [[0, 2]], classes=3)
    np.testing.assert_array_equal(confusion.iou, [0.5, np.nan, 0.0])
    np.testing.assert_array_equal(confusion.accuracy, [0.5, np.nan, np.nan])
    assert confusion.mean_iou == 0.25


def test_pixels_whose_label_names_no_class_only_enlarge_the_union_of_what_is_predicted_there():
    confusion = confusion_of([[0, 7], [1, -3]], [[0, 0], [1, 0]], classes=2)
    assert confusion.outside == 2
    np.testing.assert_array_equal(confusion.truth_area, [1, 1])
    np.testing.assert_allclose(confusion.iou, [1 / 3, 1.0])
    assert confusion.pixel_accuracy == 1.0


def test_a_dropped_zero_label_is_ignored_and_the_classes_move_down():
    truth = encode_truth(np.asarray([[0, 1, 3, 255, 4]]), classes=3, zero_label="drop")
    assert truth.tolist() == [[-1, 0, 2, -1, 3]]


def test_no_pixels_at_all_give_nan_and_no_warning():
    empty = Confusion.empty(2)
    assert np.isnan(empty.mean_iou)
    assert np.isnan(empty.pixel_accuracy)
    assert over_hosts(empty).counts is empty.counts


@pytest.mark.parametrize("case", ["voc_like", "ade_like"])
def test_the_published_metric_is_reproduced(golden, case):
    arrays = np.load(golden / "misc" / "miou.npz")
    classes = int(arrays[f"{case}.num_classes"])
    zero_label = "drop" if arrays[f"{case}.reduce_zero_label"] else "keep"
    total = Confusion.empty(classes)
    for i in range(3):
        label, predicted = (arrays[f"{case}.{name}{i}"].astype(np.int32) for name in ("gt", "pred"))
        total += confusion_of(label, predicted, classes=classes, zero_label=zero_label)
    np.testing.assert_array_equal(total.intersection, arrays[f"{case}.intersect"])
    union = total.truth_area + total.predicted_area - total.intersection
    np.testing.assert_array_equal(union, arrays[f"{case}.union"])
    np.testing.assert_allclose(total.iou, arrays[f"{case}.iou"], atol=1e-6)
    np.testing.assert_allclose(total.accuracy, arrays[f"{case}.acc"], atol=1e-6)
    assert total.pixel_accuracy == pytest.approx(float(arrays[f"{case}.aAcc"]), abs=1e-6)
    assert total.mean_iou == pytest.approx(float(arrays[f"{case}.mIoU_nanmean"]), abs=1e-6)
    reported = round(100 * total.mean_iou, 2)
    assert reported == pytest.approx(100 * float(arrays[f"{case}.mIoU_reported"]), abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_counts_of_parts_merge_to_the_counts_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 2, 3, 9, 255], size=(6, 8))
    predicted = rng.integers(0, 4, (6, 8))
    whole = confusion_of(label, predicted, classes=4)
    parts = [confusion_of(label[i : i + 2], predicted[i : i + 2], classes=4) for i in (4, 0, 2)]
    merged = parts[0] + parts[1] + parts[2]
    np.testing.assert_array_equal(merged.counts, whole.counts)
    assert merged.counts.dtype == np.int64
    assert whole.counts.sum() == (label != 255).sum()


def test_sums_beyond_32_bits_are_exact():
    big = Confusion(np.full((2, 1), 2**31 - 1, np.int32))
    assert (big + big + big).counts[0, 0] == 3 * (2**31 - 1)


def test_counts_of_different_class_lists_do_not_merge():
    with pytest.raises(ValueError, match="counts of 2 classes with counts of 3"):
        Confusion.empty(2) + Confusion.empty(3)


def test_hosts_are_summed_exactly_through_devices_without_64_bit_integers(monkeypatch):
    from jax.experimental import multihost_utils

    other = np.asarray([[5 * 2**33 + 1], [0]])
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    def gather(halves):
        assert halves.dtype == np.uint32
        return np.stack([halves, np.ascontiguousarray(other).view(np.uint32)])

    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    merged = over_hosts(Confusion(np.asarray([[2**40 + 3], [7]])))
    assert merged.counts.tolist() == [[2**40 + 3 + 5 * 2**33 + 1], [7]]
