"""Scores of generalised zero-shot segmentation: seen classes, unseen classes, and both together.

Facts: the evaluation of ZegFormer, section 4.2; all pixels compete among all classes, and the
harmonic mean tells whether unseen classes were bought with seen ones. Published evaluations give no
number if a class has no pixel in the truth; what ignores such classes is named apart here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ovs_jax.evaluation.confusion import Confusion


@dataclass(frozen=True)
class ZeroShotScores:
    """Shares of 0 to 1, from the pixels that have a true class.

    Attributes:
      confusion: pixels by true and predicted class.
      unseen: indices of the classes that were not trained.
    """

    confusion: Confusion
    unseen: tuple[int, ...]

    def __post_init__(self) -> None:
        classes = self.confusion.counts.shape[1]
        wrong = [i for i in self.unseen if not 0 <= i < classes]
        if wrong or len(set(self.unseen)) < len(self.unseen):
            raise ValueError(
                f"unseen classes: expected different indices of 0 to {classes - 1}, "
                f"got {list(self.unseen)}"
            )

    @property
    def truth_area(self) -> Int[np.ndarray, " c"]:
        """Pixels that belong to each class."""
        return self.confusion.truth_area

    @property
    def predicted_area(self) -> Int[np.ndarray, " c"]:
        """Pixels that were predicted as each class, among those that have a true class."""
        return self.confusion.counts[:-1].sum(axis=0)

    @property
    def iou(self) -> Float[np.ndarray, " c"]:
        """Intersection over union; NaN for a class without pixels, also where it is predicted."""
        union = self.truth_area + self.predicted_area - self.confusion.intersection
        ratio = self.confusion.intersection / np.maximum(union, 1)
        return np.where(self.truth_area > 0, ratio, np.nan)

    @property
    def mean_iou(self) -> float:
        """The sum over classes with pixels, by the number of classes with pixels or predictions."""
        occurring = int(((self.truth_area + self.predicted_area) > 0).sum())
        return float(np.nansum(self.iou)) / occurring if occurring else float("nan")

    @property
    def frequency_weighted_iou(self) -> float:
        """The mean IoU with each class weighing as much as it has pixels."""
        total = int(self.truth_area.sum())
        return float(np.nansum(self.iou * self.truth_area)) / total if total else float("nan")

    @property
    def mean_accuracy(self) -> float:
        """The mean over classes with pixels of the share of them that was found."""
        return _mean(self.confusion.accuracy)

    @property
    def pixel_accuracy(self) -> float:
        """The share of pixels that was named rightly."""
        return self.confusion.pixel_accuracy

    @property
    def seen_iou(self) -> float:
        """Mean IoU of seen classes as published: NaN if one has no pixels, or there is none."""
        return self._group(seen=True, present_only=False)

    @property
    def unseen_iou(self) -> float:
        """Mean IoU of unseen classes as published: NaN if one has no pixels, or there is none."""
        return self._group(seen=False, present_only=False)

    @property
    def harmonic_iou(self) -> float:
        """The harmonic mean of both; NaN if one of them is."""
        return _harmonic(self.seen_iou, self.unseen_iou)

    @property
    def seen_iou_of_present(self) -> float:
        """Mean IoU of the seen classes that have pixels; not a published score."""
        return self._group(seen=True, present_only=True)

    @property
    def unseen_iou_of_present(self) -> float:
        """Mean IoU of the unseen classes that have pixels; not a published score."""
        return self._group(seen=False, present_only=True)

    @property
    def harmonic_iou_of_present(self) -> float:
        """The harmonic mean of both; not a published score."""
        return _harmonic(self.seen_iou_of_present, self.unseen_iou_of_present)

    def summary(self) -> dict[str, float]:
        """Every score by its name, in percent, NaN where it is none."""
        names = (
            "mean_iou", "frequency_weighted_iou", "mean_accuracy", "pixel_accuracy",
            "seen_iou", "unseen_iou", "harmonic_iou",
            "seen_iou_of_present", "unseen_iou_of_present", "harmonic_iou_of_present",
        )  # fmt: skip
        return {name: 100 * getattr(self, name) for name in names}

    def rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """A row for each class, in percent and pixels; None where there is nothing to judge.

        Args:
          names: of the classes, in order.
        """
        unseen = set(self.unseen)
        columns = zip(
            names,
            self.iou,
            self.confusion.accuracy,
            self.truth_area,
            self.predicted_area,
            strict=True,
        )
        return [
            {
                "class": name,
                "group": "unseen" if index in unseen else "seen",
                "iou": None if np.isnan(iou) else round(100 * float(iou), 4),
                "accuracy": None if np.isnan(accuracy) else round(100 * float(accuracy), 4),
                "true_pixels": int(truth),
                "predicted_pixels": int(predicted),
            }
            for index, (name, iou, accuracy, truth, predicted) in enumerate(columns)
        ]

    def _group(self, *, seen: bool, present_only: bool) -> float:
        chosen = np.isin(np.arange(len(self.iou)), self.unseen, invert=seen)
        iou = self.iou[chosen]
        if present_only:
            return _mean(iou)
        return float(iou.mean()) if len(iou) else float("nan")


def _mean(values: Float[np.ndarray, " c"]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def _harmonic(first: float, second: float) -> float:
    total = first + second
    return 2 * first * second / total if total != 0 else 0.0
