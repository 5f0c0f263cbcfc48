"""The outcome of judging a generalised zero-shot segmentation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.gzs3 import ZeroShotScores
from ovs_jax.evaluation.report import Report, percent, shown, table
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol


@dataclass(frozen=True)
class ZeroShotReport(Report):
    """Scores of seen classes, unseen classes and both.

    Attributes:
      protocol: what it was made under.
      confusions: pixels by true and predicted class, by what was taken from seen classes; the
        protocol's own ``gamma`` is among them.
      images: how many were judged.
      seconds: how long it took.
    """

    protocol: ZeroShotProtocol
    confusions: Mapping[float, Confusion]
    images: int
    seconds: float

    def __post_init__(self) -> None:
        if self.protocol.gamma not in self.confusions:
            raise ValueError(
                f"confusions: expected the protocol's gamma {self.protocol.gamma} among "
                f"{list(self.confusions)}"
            )

    @property
    def result(self) -> ZeroShotScores:
        """The scores of the protocol."""
        return self.at(self.protocol.gamma)

    def at(self, gamma: float) -> ZeroShotScores:
        """The scores if so much is taken from seen classes."""
        return ZeroShotScores(self.confusions[gamma], self.protocol.split.unseen)

    @property
    def title(self) -> str:
        """Preset and class list."""
        return self.protocol.title

    @property
    def headline(self) -> str:
        """The main scores, how many images, how long."""
        scores = {name: shown(value) for name, value in self.result.summary().items()}
        return (
            f"**seen {scores['seen_iou']} · unseen {scores['unseen_iou']} · harmonic "
            f"{scores['harmonic_iou']}** · mIoU {scores['mean_iou']} · pixel accuracy "
            f"{scores['pixel_accuracy']} · {self.images} images · {self.seconds:.1f} s"
        )

    def choices(self) -> dict[str, Any]:
        """Those of the protocol."""
        return self.protocol.choices()

    def scores(self) -> dict[str, Any]:
        """All scores in percent, and those of every calibration."""
        found: dict[str, Any] = {"images": self.images, "seconds": round(self.seconds, 2)}
        found |= _rounded(self.result)
        if len(self.confusions) > 1:
            found["calibration_sweep"] = self._sweep()
        return found

    def figures(self) -> dict[str, float]:
        """All but two scores; first those of the classes that have pixels, as few images lack some
        and have no published score.
        """
        names = [f"{group}_iou" for group in ("harmonic", "seen", "unseen")]
        scores, others = self.result.summary(), ("mean_iou", "pixel_accuracy")
        return {
            name: scores[name] for name in (*(f"{n}_of_present" for n in names), *names, *others)
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class, in percent and pixels."""
        return self.result.rows(self.protocol.split.classes.names)

    def notes(self) -> Iterator[str]:
        """What is not published, and the other calibrations."""
        result = self.result
        yield (
            "Classes that have pixels alone (not the published scores, which are – if a class has "
            f"none): seen {shown(100 * result.seen_iou_of_present)} · unseen "
            f"{shown(100 * result.unseen_iou_of_present)} · harmonic "
            f"{shown(100 * result.harmonic_iou_of_present)}."
        )
        if len(self.confusions) > 1:
            yield "### Other calibrations"
            yield table([row | {"gamma": f"{row['gamma']:g}"} for row in self._sweep()])
            yield (
                "Chosen on the images that it is scored on, a calibration gives no score of the "
                "protocol above."
            )

    def _sweep(self) -> list[dict[str, Any]]:
        groups = ("seen_iou", "unseen_iou", "harmonic_iou")
        names = ("mean_iou", *groups, *(f"{name}_of_present" for name in groups))
        rows = []
        for gamma in sorted(self.confusions):
            scores = _rounded(self.at(gamma))
            rows.append({"gamma": gamma} | {name: scores[name] for name in names})
        return rows


def _rounded(scores: ZeroShotScores) -> dict[str, float | None]:
    return {name: percent(value / 100) for name, value in scores.summary().items()}
