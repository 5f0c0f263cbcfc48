"""Runs a segmenter over labelled images under a protocol."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import numpy as np
from jaxtyping import Int, UInt8
from tqdm import tqdm

from ovs_jax.data.images import decode_label
from ovs_jax.data.records import Record, Source
from ovs_jax.evaluation.canvas import Counts
from ovs_jax.evaluation.confusion import Confusion, encode_truth, over_hosts, sum_over_hosts
from ovs_jax.evaluation.loading import decoded_image, image_count, load_ahead, naming_record
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.segmentation_report import SegmentationReport
from ovs_jax.evaluation.segmenter import (
    ClassBank,
    Described,
    Segmenter,
    Windows,
    default_batch,
    prepare,
)
from ovs_jax.evaluation.sweep import Sweep, count_thresholds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """One labelled image.

    Attributes:
      image: its pixels.
      truth: as made by `confusion.encode_truth`.
      key: its name.
    """

    image: UInt8[np.ndarray, "h w 3"]
    truth: Int[np.ndarray, "h w"]
    key: str


@dataclass(frozen=True)
class _Tally:
    """Counts over images; see `SegmentationReport`."""

    confusion: Confusion
    groups: Confusion
    sweep: Sweep | None

    def with_image(
        self, segmenter: Segmenter, described: Described, bank: ClassBank, protocol: Protocol
    ) -> "_Tally":
        truth = described.windows.extra.truth
        if self.sweep is None:
            painting = segmenter.paint(described, bank, refinement=protocol.refinement)
            counts = painting.count(truth)
            confusion = self.confusion + counts.confusion
            return _Tally(confusion, self.groups + counts.named_by_majority, None)
        without = replace(bank, background=None)
        painting = segmenter.paint(described, without, refinement=protocol.refinement)
        found, groups = count_thresholds(
            painting, truth, thresholds=self.sweep.thresholds, rule=bank.rule
        )
        sweep = self.sweep.plus(found)
        confusion = sweep.confusion(float(bank.background or 0.0))
        return _Tally(confusion, self.groups + Counts(confusion, groups).named_by_majority, sweep)

    def over_hosts(self) -> "_Tally":
        sweep = self.sweep
        if sweep is not None:
            sweep = replace(sweep, counts=sum_over_hosts(sweep.counts))
        return _Tally(over_hosts(self.confusion), over_hosts(self.groups), sweep)


def class_bank(segmenter: Segmenter, protocol: Protocol) -> ClassBank:
    """The class embeddings and the background rule of a protocol."""
    return segmenter.bank(
        protocol.classes,
        background=protocol.background,
        rule=protocol.background_rule,
        templates=protocol.templates,
    )


def evaluate(
    segmenter: Segmenter,
    source: Source,
    protocol: Protocol,
    *,
    thresholds: Sequence[float] = (),
    limit: int | None = None,
    progress: bool = True,
    batch_size: int | None = None,
) -> SegmentationReport:
    """Scores a model on labelled images.

    Images of any sizes share device batches; in a run of several processes each takes every n-th
    image, and all get the whole result.

    Args:
      segmenter: the model.
      source: records with ``image``, ``label`` and ``key``. Encoded labels are taken as the data
        set stores them, arrays as class indices.
      protocol: all choices that decide the score.
      thresholds: other background thresholds to score in the same pass.
      limit: judge only so many images, from the beginning.
      progress: whether a bar is shown.
      batch_size: windows that the model sees at a time; None for what suits the device.

    Returns:
      The scores.

    Raises:
      ValueError: if there is no image, one of them cannot be used (the message names it), or
        thresholds are given where there is no background.
    """
    count = image_count(source, limit)
    started = time.perf_counter()
    tally = _empty(protocol, thresholds)
    bank = class_bank(segmenter, protocol)
    mine = range(jax.process_index(), count, jax.process_count())
    scenes = load_scenes(source, mine, protocol)
    with tqdm(total=len(mine), unit="image", disable=not progress, desc=protocol.name) as bar:
        for described in segmenter.describe(scenes, batch_size=batch_size or default_batch()):
            tally = tally.with_image(segmenter, described, bank, protocol)
            bar.set_postfix(mIoU=f"{100 * tally.confusion.mean_iou:.1f}", refresh=False)
            bar.update()
    tally = tally.over_hosts()
    if tally.confusion.outside:
        logger.warning(
            "%d judged pixels have labels that name no class of '%s'",
            tally.confusion.outside,
            protocol.classes.name,
        )
    return SegmentationReport(
        protocol=protocol,
        confusion=tally.confusion,
        groups=tally.groups,
        images=count,
        seconds=time.perf_counter() - started,
        sweep=tally.sweep,
    )


def _empty(protocol: Protocol, thresholds: Sequence[float]) -> _Tally:
    classes = len(protocol.classes)
    nothing = Confusion.empty(classes)
    if not thresholds:
        return _Tally(nothing, nothing, None)
    if protocol.background is None:
        raise ValueError(
            f"background sweep: class list '{protocol.classes.name}' has no background"
        )
    sweep = Sweep.empty([*thresholds, protocol.background], classes)
    return _Tally(nothing, nothing, sweep)


def load_scenes(source: Source, indices: Iterable[int], protocol: Protocol) -> Iterator[Windows]:
    """Decodes, resizes and cuts images in threads, a few ahead of their use.

    Args:
      source: records with ``image``, ``label`` and ``key``.
      indices: which, in order.
      protocol: how.

    Yields:
      Windows that hold their `Scene` as ``extra``.

    Raises:
      ValueError: if an image or its labels cannot be used; the message names it.
    """
    return load_ahead(partial(_load, source, protocol), indices)


def _load(source: Source, protocol: Protocol, index: int) -> Windows:
    with naming_record(index) as named:
        record = source[index]
        key = named(record)
        image = decoded_image(record, key)
        scene = Scene(image, _truth(record, image, protocol), key)
        return prepare(image, protocol.geometry, extra=scene)


def _truth(
    record: Record, image: UInt8[np.ndarray, "h w 3"], protocol: Protocol
) -> Int[np.ndarray, "h w"]:
    label = record["label"]
    name = f"label {record['label_key']}" if "label_key" in record else "label"
    stored = isinstance(label, bytes)
    label = np.asarray(decode_label(label, name=name) if stored else label)
    if label.ndim != 2 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(f"{name}: expected integers [h, w], got {label.dtype} {label.shape}")
    if label.shape != image.shape[:2]:
        raise ValueError(
            f"{name}: expected the image's height and width {image.shape[:2]}, got {label.shape}"
        )
    classes = len(protocol.classes)
    truth = encode_truth(
        label,
        classes=classes,
        ignore_label=protocol.ignore_label,
        # Sources that convert labels give arrays, whose 0 is the first class.
        zero_label=protocol.zero_label if stored else "keep",
    )
    if protocol.outside_labels == "error" and (truth == classes).any():
        raise ValueError(
            f"{name}: expected labels of the {classes} classes of '{protocol.classes.name}' or "
            f"{protocol.ignore_label}, got {sorted({int(x) for x in label[truth == classes]})[:8]}"
        )
    return truth
