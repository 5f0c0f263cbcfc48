"""Scores, printed with the protocol that they were made under."""

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import Any

from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.protocols import Protocol


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
      protocol: what it was made under.
      confusion: pixels by true and predicted class.
      groups: the same if each group of pixels were given the class that most of it has: what the
        grouping is worth whatever the words do.
      images: how many were judged.
      seconds: how long it took.
    """

    protocol: Protocol
    confusion: Confusion
    groups: Confusion
    images: int
    seconds: float

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
                "iou": _percent(iou),
                "accuracy": _percent(accuracy),
                "group_iou": _percent(group_iou),
                "true_pixels": int(truth),
                "predicted_pixels": int(predicted),
            }
            for name, iou, accuracy, group_iou, truth, predicted in columns
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; what is not a number there is None."""
        return {
            "protocol": self.protocol.choices(),
            "images": self.images,
            "seconds": round(self.seconds, 2),
            "mean_iou": _percent(self.confusion.mean_iou),
            "pixel_accuracy": _percent(self.confusion.pixel_accuracy),
            "group_mean_iou": _percent(self.groups.mean_iou),
            "single_class_mean_iou": _percent(self.confusion.single_class_mean_iou),
            "pixels_outside_the_class_list": self.confusion.outside,
            "per_class": self.rows(),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """The rows of `rows`, with a header."""
        buffer = io.StringIO()
        rows = self.rows()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """The scores, the protocol in full, and a table of the classes."""
        lines = [
            f"## {self.protocol.name} / {self.protocol.classes.name}",
            "",
            f"**mIoU {_shown(self.mean_iou)}** · pixel accuracy {_shown(self.pixel_accuracy)} · "
            f"groups named by majority: mIoU {_shown(self.group_mean_iou)} · "
            f"{self.images} images · {self.seconds:.1f} s",
            "",
            "| choice | value |",
            "| --- | --- |",
        ]
        for name, value in self.protocol.choices().items():
            shown = "; ".join(value) if isinstance(value, list) else str(value)
            lines.append(f"| {name} | {shown} |")
        lines += [
            "",
            "| class | IoU | accuracy | groups: IoU | true pixels |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for row in self.rows():
            name = row["class"].replace("|", "\\|")
            values = " | ".join(_shown(row[key]) for key in ("iou", "accuracy", "group_iou"))
            lines.append(f"| {name} | {values} | {row['true_pixels']} |")
        if self.confusion.outside:
            lines += ["", f"{self.confusion.outside} judged pixels have labels that name no class."]
        return "\n".join(lines) + "\n"


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else round(100 * float(share), 4)


def _shown(percent: float | None) -> str:
    return "–" if percent is None or math.isnan(percent) else f"{percent:.2f}"
