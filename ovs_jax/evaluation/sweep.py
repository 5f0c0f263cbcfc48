"""Many background thresholds in one pass over the images.

The background's score of a pixel never falls as the threshold rises, and the other classes do not
change. So it is enough to know of each pixel which class is best besides the background, and at how
many of the rising thresholds that class still wins: one count over (truth, class, thresholds won)
holds the confusion of every threshold. The model runs once, and one program serves all thresholds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ovs_jax.evaluation.canvas import Painting, count_groups, strips, tile_members, truth_tile
from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.painting import BackgroundRule, background_scores, class_scores
from ovs_jax.evaluation.report import percent

MOST = 100
"""The most thresholds of a sweep: its counts hold as many matrices of classes by classes."""
DEFAULT = "0.05:0.95:0.05"


@dataclass(frozen=True)
class Sweep:
    """Pixel counts for every threshold.

    Attributes:
      thresholds: in ascending order.
      counts: pixels by true class (the last row has those without one), best class besides the
        background, and number of thresholds, from the lowest, at which it wins against the
        background.
    """

    thresholds: tuple[float, ...]
    counts: Int[np.ndarray, "rows classes wins"]

    @classmethod
    def empty(cls, thresholds: Sequence[float], classes: int) -> "Sweep":
        """The counts of no image.

        Args:
          thresholds: in any order.
          classes: the number of classes, the background being one.

        Raises:
          ValueError: there is none, there are too many, or one is not between 0 and 1.
        """
        ascending = tuple(sorted(set(map(float, thresholds))))
        if not 1 <= len(ascending) <= MOST or not all(0 <= t <= 1 for t in ascending):
            span = f" from {ascending[0]:g} to {ascending[-1]:g}" if ascending else ""
            raise ValueError(
                f"background sweep: expected 1 to {MOST} thresholds of 0 to 1, "
                f"got {len(ascending)}{span}"
            )
        return cls(ascending, np.zeros((classes + 1, classes, len(ascending) + 1), np.int64))

    def plus(self, counts: Int[np.ndarray, "rows classes wins"]) -> "Sweep":
        """With the pixels of another image."""
        return Sweep(self.thresholds, self.counts + counts)

    def confusion(self, threshold: float) -> Confusion:
        """The confusion at one of the thresholds."""
        index = self.thresholds.index(threshold)
        wins = self.counts[..., index + 1 :].sum(axis=-1)
        wins[:, 0] = self.counts[..., : index + 1].sum(axis=(1, 2))
        return Confusion(wins)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each threshold: the threshold, mIoU and pixel accuracy in percent, and the
        share of the judged pixels that became background.
        """
        rows = []
        for threshold in self.thresholds:
            confusion = self.confusion(threshold)
            judged = confusion.counts.sum()
            shares = {
                "mean_iou": confusion.mean_iou,
                "pixel_accuracy": confusion.pixel_accuracy,
                "background_share": confusion.counts[:, 0].sum() / judged if judged else math.nan,
            }
            rows.append({"threshold": threshold} | {k: percent(v) for k, v in shares.items()})
        return rows

    @property
    def best(self) -> dict[str, Any] | None:
        """The row with the highest mIoU, the lowest threshold of those; None if there is none."""
        judged = [row for row in self.rows() if row["mean_iou"] is not None]
        return max(judged, key=lambda row: row["mean_iou"]) if judged else None


def parse_range(text: str, *, option: str) -> tuple[float, ...]:
    """What to sweep, from ``FIRST:LAST:STEP`` or from numbers between commas.

    Args:
      text: either of them, within 0 to 1.
      option: what to call it in an error.

    Raises:
      ValueError: it is neither.
    """
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        first, last, step = (float(part) for part in text.split(":"))
        if not (0 <= first <= last <= 1 and step > 0):
            raise ValueError
        count = min(int((last - first) / step + 1e-6), MOST) + 1  # too many are an error later
        return tuple(round(first + i * step, 6) for i in range(count))
    except ValueError:
        raise ValueError(
            f"{option}: expected FIRST:LAST:STEP within 0 to 1, such as "
            f"{DEFAULT}, or numbers between commas, got '{text}'"
        ) from None


def count_thresholds(
    painting: Painting,
    truth: Int[np.ndarray, "h w"],
    *,
    thresholds: Sequence[float],
    rule: BackgroundRule,
) -> tuple[Int[np.ndarray, "rows classes wins"], Int[np.ndarray, "groups rows"]]:
    """Compares one image with the truth at every threshold, on the device.

    Args:
      painting: with tables of the classes besides the background.
      truth: as made by `confusion.encode_truth`; class 0 is the background.
      thresholds: in ascending order.
      rule: how pixels become background.

    Returns:
      What `Sweep.plus` takes, and the groups' pixels by true class as in `canvas.Counts`.
    """
    classes = painting.tables.shape[2] + 1
    counts: Any = 0
    groups: Any = 0
    bars = np.asarray(thresholds, np.float32)
    for tile, arguments in painting.tiles():
        room = arguments[2].shape[2] + 1
        piece = truth_tile(truth, tile, classes=classes, room=room)
        found, by_group = _sweep_tile(*arguments, piece, bars, rule=rule)
        rows = [*range(classes), room]
        counts = counts + np.asarray(found, np.int64)[rows][:, :classes]
        groups = groups + np.asarray(by_group, np.int64)[:, rows]
    return counts, groups


@partial(jax.jit, static_argnames="rule")
def _sweep_tile(
    maps: Array,
    refined: Array | None,
    tables: Array,
    rows: Array,
    cols: Array,
    truth: Int[Array, "o p"],
    thresholds: Float[Array, " s"],
    *,
    rule: BackgroundRule,
) -> tuple[Int[Array, "t c wins"], Int[Array, "m t"]]:
    members = tile_members(maps, refined, rows, cols)
    bars = background_scores(tables, thresholds, rule=rule)

    def label(strip: Array) -> tuple[Array, Array, Array]:
        scores = class_scores(strip, tables)
        won = scores.max(axis=-1, keepdims=True) > class_scores(strip, bars)
        best = jnp.argmax(scores, axis=-1).astype(jnp.int32) + 1  # the background is class 0
        return best, won.sum(axis=-1).astype(jnp.int32), jnp.argmax(strip, -1).astype(jnp.int32)

    found = jax.lax.map(label, strips(members))
    best, won, groups = (x.reshape(members.shape[:2]) for x in found)
    classes, ends = tables.shape[2] + 1, len(thresholds) + 1
    valid = truth >= 0
    place = jnp.where(valid, (truth * classes + best) * ends + won, 0)
    counts = jnp.zeros((classes + 1) * classes * ends, jnp.int32)
    counts = counts.at[place.ravel()].add(valid.ravel().astype(jnp.int32))
    return (
        counts.reshape(classes + 1, classes, ends),
        count_groups(truth, groups, classes=classes, count=maps.shape[0] * maps.shape[3]),
    )
