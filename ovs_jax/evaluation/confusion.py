"""Counting pixels by true and predicted class, and the scores made from the counts.

Counts are integers from the first to the last: int32 on the device for one image at most, int64 on
the host. They merge by addition, exactly, in any order and over any number of hosts.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

IGNORED = -1
"""The true class of a pixel that is not judged at all."""


def encode_truth(
    label: Int[np.ndarray, "h w"],
    *,
    classes: int,
    ignore_label: int = 255,
    zero_label: Literal["keep", "drop"] = "keep",
) -> Int[np.ndarray, "h w"]:
    """Prepares stored labels for `count_pixels`.

    Args:
      label: what the data set stores.
      classes: the number of classes.
      ignore_label: the stored label of pixels that are not judged.
      zero_label: ``drop`` where 0 means "other": it is ignored and 1 is the first class (ADE20K).

    Returns:
      `IGNORED` where the label is ``ignore_label``, ``classes`` where it names no class (such a
      pixel has no true class, but predictions there are still counted), else the class.
    """
    ignored = label == ignore_label
    if zero_label == "drop":
        ignored |= label == 0
        label = label - 1
    outside = (label < 0) | (label >= classes)
    return np.where(ignored, IGNORED, np.where(outside, classes, label)).astype(np.int32)


def count_pixels(
    truth: Int[Array, "*pixels"], predicted: Int[Array, "*pixels"], *, classes: int
) -> Int[Array, "rows columns"]:
    """Counts the pixels of every pair of true and predicted class, on the device.

    Args:
      truth: as made by `encode_truth`; negative pixels are left out.
      predicted: 0 to ``classes - 1`` wherever the truth is not negative.
      classes: the number of classes.

    Returns:
      ``classes + 1`` rows of ``classes`` int32 counts; the last row has the pixels whose label
      names no class.
    """
    valid = truth >= 0
    pair = jnp.where(valid, truth * classes + predicted, 0)
    counts = jnp.zeros((classes + 1) * classes, jnp.int32)
    counts = counts.at[pair.ravel()].add(valid.ravel().astype(jnp.int32))
    return counts.reshape(classes + 1, classes)


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of a set of images, on the host.

    Attributes:
      counts: true class by predicted class; the last row has the pixels whose label names no class.
    """

    counts: Int[np.ndarray, "rows columns"]

    @classmethod
    def empty(cls, classes: int) -> "Confusion":
        """The counts of no image."""
        return cls(np.zeros((classes + 1, classes), np.int64))

    def __add__(self, other: "Confusion") -> "Confusion":
        """The counts of both sets of images."""
        if self.counts.shape != other.counts.shape:
            raise ValueError(
                f"confusion: cannot merge counts of {self.counts.shape[1]} classes with counts of "
                f"{other.counts.shape[1]}"
            )
        return Confusion(self.counts.astype(np.int64) + other.counts.astype(np.int64))

    @property
    def intersection(self) -> Int[np.ndarray, " c"]:
        """Pixels that were predicted rightly, by class."""
        return np.diagonal(self.counts).copy()

    @property
    def truth_area(self) -> Int[np.ndarray, " c"]:
        """Pixels that belong to each class."""
        return self.counts[:-1].sum(axis=1)

    @property
    def predicted_area(self) -> Int[np.ndarray, " c"]:
        """Pixels that were predicted as each class, those without a true class included."""
        return self.counts.sum(axis=0)

    @property
    def outside(self) -> int:
        """Judged pixels whose label names no class."""
        return int(self.counts[-1].sum())

    @property
    def iou(self) -> Float[np.ndarray, " c"]:
        """Intersection over union by class; NaN for a class neither present nor predicted."""
        union = self.truth_area + self.predicted_area - self.intersection
        return _ratio(self.intersection, union)

    @property
    def accuracy(self) -> Float[np.ndarray, " c"]:
        """The share of each class's pixels that was found; NaN for an absent class."""
        return _ratio(self.intersection, self.truth_area)

    @property
    def mean_iou(self) -> float:
        """Mean of the classes' IoU, those that are NaN left out; NaN if all are."""
        iou = self.iou
        return float(np.mean(iou[~np.isnan(iou)])) if not np.isnan(iou).all() else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """The share of pixels with a true class that was predicted rightly."""
        total = int(self.truth_area.sum())
        return int(self.intersection.sum()) / total if total else float("nan")

    @property
    def single_class_mean_iou(self) -> float:
        """The best mean IoU that naming every pixel alike could reach: the score to beat."""
        truth = self.truth_area
        present = max(int((truth > 0).sum()), 1)
        judged = int(self.counts.sum())
        return float(truth.max() / judged / present) if judged else float("nan")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def over_hosts(confusion: Confusion) -> Confusion:
    """Adds up the counts of all processes of a multi-host run; every process gets the sum."""
    return Confusion(sum_over_hosts(confusion.counts))


def sum_over_hosts(counts: Int[np.ndarray, "*s"]) -> Int[np.ndarray, "*s"]:
    """Adds up 64-bit counts of all processes of a multi-host run; every process gets the sum."""
    if jax.process_count() == 1:
        return counts
    from jax.experimental import multihost_utils

    # Devices have no 64-bit integers by default: the two halves travel as they are.
    halves = np.ascontiguousarray(counts.astype(np.int64)).view(np.uint32)
    gathered = np.ascontiguousarray(multihost_utils.process_allgather(halves))
    return gathered.view(np.int64).sum(axis=0)
