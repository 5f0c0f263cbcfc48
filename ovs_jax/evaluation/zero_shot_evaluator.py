"""Judges generalised zero-shot segmentation on labelled images, all calibrations in one pass."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from ovs_jax.data.images import decode_label
from ovs_jax.data.records import Source
from ovs_jax.evaluation.confusion import Confusion, sum_over_hosts
from ovs_jax.evaluation.loading import decoded_image, image_count, load_ahead, naming_record
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.zero_shot import ZeroShotImage, ZeroShotProtocol
from ovs_jax.evaluation.zero_shot_report import ZeroShotReport

Paint = Callable[[ZeroShotImage], MaskPainting]
"""From an image to its masks with their classes, such as `ZeroShotSegmenter.paint` with a bank."""


def evaluate_zero_shot(
    paint: Paint,
    source: Source,
    protocol: ZeroShotProtocol,
    *,
    gammas: Sequence[float] = (),
    limit: int | None = None,
    progress: bool = True,
) -> ZeroShotReport:
    """Scores a model on labelled images.

    In a run of several processes each takes every n-th image, and all get the whole result.

    Args:
      paint: the model with its classes.
      source: records with ``image``, ``label`` (as ``protocol.split`` reads it) and ``key``.
      protocol: all choices that decide the score.
      gammas: other calibrations to score in the same pass; see `MaskPainting.count`.
      limit: judge only so many images, from the beginning.
      progress: whether a bar is shown.

    Returns:
      The scores.

    Raises:
      ValueError: there is no image, or one of them cannot be used; the message names it.
    """
    count = image_count(source, limit)
    started = time.perf_counter()
    all_gammas = tuple(dict.fromkeys((protocol.gamma, *map(float, gammas))))
    classes = len(protocol.split.classes)
    counts = np.zeros((len(all_gammas), classes + 1, classes), np.int64)
    mine = range(jax.process_index(), count, jax.process_count())
    scenes = load_ahead(partial(_load, source, protocol), mine)
    for image, truth in tqdm(
        scenes, total=len(mine), unit="image", disable=not progress, desc=protocol.name
    ):
        counts += paint(image).count(truth, gammas=all_gammas)
    total = sum_over_hosts(counts)
    return ZeroShotReport(
        protocol=protocol,
        confusions={gamma: Confusion(c) for gamma, c in zip(all_gammas, total, strict=True)},
        images=count,
        seconds=time.perf_counter() - started,
    )


def _load(
    source: Source, protocol: ZeroShotProtocol, index: int
) -> tuple[ZeroShotImage, Int[np.ndarray, "h w"]]:
    with naming_record(index) as named:
        record = source[index]
        key = named(record)
        image = decoded_image(record, key)
        label = record["label"]
        label = decode_label(label, name=key) if isinstance(label, bytes) else np.asarray(label)
        if label.shape != image.shape[:2]:
            raise ValueError(
                f"expected a label map of {image.shape[:2]} pixels as the image has, "
                f"got {label.shape}"
            )
        truth = protocol.split.evaluated(label, ignore_label=protocol.ignore_label)
        return protocol.prepared(image), truth
