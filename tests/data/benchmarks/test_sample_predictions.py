"""ADE20K's sample predictions scored by the metric, against counting by hand."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.benchmarks import open_benchmark
from ovs_jax.evaluation.confusion import Confusion, count_pixels, encode_truth


@pytest.mark.parametrize("shift", [0, 9])
def test_the_sample_predictions_score_what_counting_by_hand_gives(
    shared_data: Path, tmp_path: Path, shift: int
) -> None:
    """The samples' predictions equal their annotations, so they are also scored 9 pixels off."""
    samples = shared_data / "ade20k_samples/sceneparsing/sampleData"
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "validation").symlink_to(samples / folder)
    source = open_benchmark("ade20k", tmp_path)
    assert len(source) == 3

    confusion = Confusion.empty(150)
    intersections, unions = np.zeros(151, int), np.zeros(151, int)
    right = judged = 0
    for index in range(3):
        name = Path(source[index]["key"]).stem
        stored = np.array(Image.open(samples / "predictions" / f"{name}.png"))
        stored = np.roll(stored, shift, axis=1)
        stored[stored == 0] = 1  # a model names a class everywhere

        # Ours: the label as class indices, 255 where nothing is judged.
        truth = encode_truth(source[index]["label"], classes=150)
        predicted = jnp.asarray(stored.astype(np.int32) - 1)
        counts = count_pixels(jnp.asarray(truth), predicted, classes=150)
        confusion += Confusion(np.asarray(counts))

        # By hand: the challenge's ids, 0 not judged, one class after the other.
        ids = np.array(Image.open(samples / "annotations" / f"{name}.png"))
        here = ids > 0
        right += int((stored == ids)[here].sum())
        judged += int(here.sum())
        for c in range(1, 151):
            intersections[c] += ((ids == c) & (stored == c) & here).sum()
            unions[c] += (((ids == c) | (stored == c)) & here).sum()

    present = unions[1:] > 0
    iou = intersections[1:][present] / unions[1:][present]
    np.testing.assert_array_equal(confusion.intersection, intersections[1:])
    np.testing.assert_array_equal(np.isnan(confusion.iou), ~present)
    np.testing.assert_array_equal(confusion.iou[present], iou)
    assert confusion.mean_iou == iou.mean()
    assert confusion.pixel_accuracy == right / judged
    assert present.sum() == 15  # classes of the three images together
    if shift == 0:
        assert confusion.mean_iou == 1.0
    else:
        assert 0.5 < confusion.mean_iou < 0.95
