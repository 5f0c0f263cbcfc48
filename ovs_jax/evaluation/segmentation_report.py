"""The scores of a segmentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.report import Report, percent, shown, table
from ovs_jax.evaluation.sweep import Sweep


@dataclass(frozen=True)
class SegmentationReport(Report):
    """The outcome of `evaluator.evaluate`.

    Attributes:
      protocol: what it was made under.
      confusion: pixels by true and predicted class.
      groups: the same if each group of pixels were given the class that most of it has: what the
        grouping is worth whatever the words do.
      images: how many were judged.
      seconds: how long it took.
      sweep: the counts at other background thresholds, if they were asked for.
    """

    protocol: Protocol
    confusion: Confusion
    groups: Confusion
    images: int
    seconds: float
    sweep: Sweep | None = None

    @property
    def mean_iou(self) -> float:
        """Mean IoU in percent over the classes that occur."""
        return 100 * self.confusion.mean_iou

    @property
    def pixel_accuracy(self) -> float:
        """Percent of the judged pixels that were named rightly."""
        return 100 * self.confusion.pixel_accuracy

    @property
    def group_mean_iou(self) -> float:
        """Mean IoU in percent if every group had the name that most of its pixels have."""
        return 100 * self.groups.mean_iou

    @property
    def title(self) -> str:
        """Preset, class list and what is peculiar."""
        return self.protocol.title

    @property
    def headline(self) -> str:
        """The mean scores, how many images, how long."""
        return (
            f"**mIoU {shown(self.mean_iou)}** · pixel accuracy {shown(self.pixel_accuracy)} · "
            f"groups named by majority: mIoU {shown(self.group_mean_iou)} · "
            f"{self.images} images · {self.seconds:.1f} s"
        )

    def choices(self) -> dict[str, Any]:
        """Those of the protocol."""
        return self.protocol.choices()

    def figures(self) -> dict[str, float]:
        """Mean IoU, pixel accuracy, and mean IoU of groups named by majority."""
        return {
            name: getattr(self, name) for name in ("mean_iou", "pixel_accuracy", "group_mean_iou")
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class, in percent and pixels; None where there is nothing to judge."""
        confusion, groups = self.confusion, self.groups
        columns = zip(
            self.protocol.classes.names,
            confusion.iou,
            confusion.accuracy,
            groups.iou,
            confusion.truth_area,
            confusion.predicted_area,
            strict=True,
        )
        return [
            {
                "class": name,
                "iou": percent(iou),
                "accuracy": percent(accuracy),
                "group_iou": percent(group_iou),
                "true_pixels": int(truth),
                "predicted_pixels": int(predicted),
            }
            for name, iou, accuracy, group_iou, truth, predicted in columns
        ]

    def scores(self) -> dict[str, Any]:
        """The scores of all classes together, and those of every threshold of a sweep."""
        found = {
            "images": self.images,
            "seconds": round(self.seconds, 2),
            "mean_iou": percent(self.confusion.mean_iou),
            "pixel_accuracy": percent(self.confusion.pixel_accuracy),
            "group_mean_iou": percent(self.groups.mean_iou),
            "single_class_mean_iou": percent(self.confusion.single_class_mean_iou),
            "pixels_outside_the_class_list": self.confusion.outside,
        }
        if self.sweep is not None:
            found |= {"background_sweep": self.sweep.rows(), "best_of_sweep": self.sweep.best}
        return found

    def notes(self) -> Iterator[str]:
        """The sweep, and what is wrong with the labels."""
        if self.sweep is not None:
            yield "### Other background thresholds"
            yield table([row | {"threshold": f"{row['threshold']:g}"} for row in self.sweep.rows()])
            if self.sweep.best is not None:
                yield (
                    f"Best: mIoU {shown(self.sweep.best['mean_iou'])} at "
                    f"{self.sweep.best['threshold']:g}, chosen on the images that it is scored on; "
                    "not a score of the protocol above."
                )
        if self.confusion.outside:
            yield f"{self.confusion.outside} judged pixels have labels that name no class."
