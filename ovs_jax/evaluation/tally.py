"""Counts over images, from which the scores of a segmentation are made."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from ovs_jax.evaluation.canvas import Counts, Painting
from ovs_jax.evaluation.confusion import Confusion, over_hosts, sum_over_hosts
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.segmentation_report import SegmentationReport
from ovs_jax.evaluation.segmenter import AnyPainting, AnyProtocol
from ovs_jax.evaluation.sweep import Sweep, count_thresholds
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol
from ovs_jax.evaluation.zero_shot_report import ZeroShotReport

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupTally:
    """Counts of groups of pixels that have names; see `SegmentationReport`."""

    protocol: Protocol
    confusion: Confusion
    groups: Confusion
    sweep: Sweep | None

    @classmethod
    def empty(cls, protocol: Protocol, thresholds: Sequence[float]) -> "GroupTally":
        """Of no image; other background thresholds are scored in the same pass."""
        nothing, sweep = Confusion.empty(len(protocol.classes)), None
        if thresholds:
            if protocol.background is None:
                raise ValueError(
                    f"background sweep: class list '{protocol.classes.name}' has no background"
                )
            sweep = Sweep.empty([*thresholds, protocol.background], len(protocol.classes))
        return cls(protocol, nothing, nothing, sweep)

    def plus(self, painting: AnyPainting, truth: Int[np.ndarray, "h w"]) -> "GroupTally":
        """With another image."""
        if not isinstance(painting, Painting):
            raise TypeError(f"painting: expected one of groups, got {type(painting).__name__}")
        if self.sweep is None:
            counts = painting.count(truth)
            return replace(
                self,
                confusion=self.confusion + counts.confusion,
                groups=self.groups + counts.named_by_majority,
            )
        found, by_group = count_thresholds(
            replace(painting, tables=painting.tables[..., 1:]),
            truth,
            thresholds=self.sweep.thresholds,
            rule=self.protocol.background_rule,
        )
        sweep = self.sweep.plus(found)
        confusion = sweep.confusion(float(self.protocol.background or 0.0))
        groups = self.groups + Counts(confusion, by_group).named_by_majority
        return replace(self, confusion=confusion, groups=groups, sweep=sweep)

    @property
    def mean_iou(self) -> float:
        """So far, as a share."""
        return self.confusion.mean_iou

    def report(self, *, images: int, seconds: float) -> SegmentationReport:
        """The scores of all processes together."""
        sweep = self.sweep
        if sweep is not None:
            sweep = replace(sweep, counts=sum_over_hosts(sweep.counts))
        confusion = over_hosts(self.confusion)
        if confusion.outside:
            logger.warning(
                "%d judged pixels have labels that name no class of '%s'",
                confusion.outside,
                self.protocol.classes.name,
            )
        return SegmentationReport(
            self.protocol, confusion, over_hosts(self.groups), images, seconds, sweep
        )


@dataclass(frozen=True)
class ZeroShotTally:
    """Counts of masks that have names, at every calibration; see `ZeroShotReport`."""

    protocol: ZeroShotProtocol
    gammas: tuple[float, ...]
    counts: Int[np.ndarray, "s rows classes"]

    @classmethod
    def empty(cls, protocol: ZeroShotProtocol, gammas: Sequence[float]) -> "ZeroShotTally":
        """Of no image; other calibrations are scored in the same pass."""
        if protocol.background is not None:
            raise ValueError(
                f"class list '{protocol.classes.name}' has a background, by which models that find "
                "masks are not judged; expected a list without, such as voc20 for voc21"
            )
        every = tuple(dict.fromkeys((protocol.gamma, *map(float, gammas))))
        classes = len(protocol.classes)
        return cls(protocol, every, np.zeros((len(every), classes + 1, classes), np.int64))

    def plus(self, painting: AnyPainting, truth: Int[np.ndarray, "h w"]) -> "ZeroShotTally":
        """With another image."""
        if not isinstance(painting, MaskPainting):
            raise TypeError(f"painting: expected one of masks, got {type(painting).__name__}")
        return replace(self, counts=self.counts + painting.count(truth, gammas=self.gammas))

    @property
    def mean_iou(self) -> float:
        """So far, as a share."""
        return Confusion(self.counts[0]).mean_iou

    def report(self, *, images: int, seconds: float) -> ZeroShotReport:
        """The scores of all processes together."""
        total = sum_over_hosts(self.counts)
        confusions = {g: Confusion(c) for g, c in zip(self.gammas, total, strict=True)}
        return ZeroShotReport(self.protocol, confusions, images, seconds)


Tally = GroupTally | ZeroShotTally


def empty_tally(
    protocol: AnyProtocol, *, thresholds: Sequence[float] = (), gammas: Sequence[float] = ()
) -> Tally:
    """The counts of no image.

    Args:
      protocol: what they are made under.
      thresholds: of background, to score in the same pass.
      gammas: calibrations, to score in the same pass.

    Raises:
      ValueError: the protocol has nothing of the kind that is to be swept.
    """
    if isinstance(protocol, Protocol):
        if gammas:
            raise ValueError(
                f"calibration sweep: preset '{protocol.name}' has no seen and unseen classes"
            )
        return GroupTally.empty(protocol, thresholds)
    if thresholds:
        raise ValueError(f"background sweep: preset '{protocol.name}' has no background")
    return ZeroShotTally.empty(protocol, gammas)
