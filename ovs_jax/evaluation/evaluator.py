"""Runs a segmenter over labelled images under a protocol."""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Int, UInt8
from tqdm import tqdm

from ovs_jax.data.images import checked_pixels, decode_image, decode_label
from ovs_jax.data.records import Source
from ovs_jax.evaluation.confusion import Confusion, encode_truth, over_hosts
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.report import Report
from ovs_jax.evaluation.segmenter import ClassBank, Segmenter, Windows, prepare

logger = logging.getLogger(__name__)
BATCH = 16
"""Windows that the model sees at a time."""


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


def class_bank(segmenter: Segmenter, protocol: Protocol) -> ClassBank:
    """The class embeddings and the background rule of a protocol."""
    return segmenter.bank(
        protocol.classes, background=protocol.background, templates=protocol.templates
    )


def evaluate(
    segmenter: Segmenter,
    source: Source,
    protocol: Protocol,
    *,
    limit: int | None = None,
    progress: bool = True,
    batch_size: int = BATCH,
) -> Report:
    """Scores a model on labelled images.

    Images of any sizes share device batches; in a run of several processes each takes every n-th
    image, and all get the whole result.

    Args:
      segmenter: the model.
      source: records with ``image``, ``label`` and ``key``.
      protocol: all choices that decide the score.
      limit: judge only so many images, from the beginning.
      progress: whether a bar is shown.
      batch_size: windows that the model sees at a time.

    Returns:
      The scores.

    Raises:
      ValueError: if there is no image, or one of them cannot be used; the message names it.
    """
    count = len(source) if limit is None else min(limit, len(source))
    if count < 1:
        raise ValueError(f"evaluation: expected at least one image, got {count}")
    started = time.perf_counter()
    bank = class_bank(segmenter, protocol)
    confusion = groups = Confusion.empty(len(protocol.classes))
    mine = range(jax.process_index(), count, jax.process_count())
    scenes = load_scenes(source, mine, protocol)
    with tqdm(total=len(mine), unit="image", disable=not progress, desc=str(protocol.name)) as bar:
        for described in segmenter.describe(scenes, batch_size=batch_size):
            counts = segmenter.paint(described, bank).count(described.windows.extra.truth)
            confusion, groups = confusion + counts.confusion, groups + counts.named_by_majority
            bar.set_postfix(mIoU=f"{100 * confusion.mean_iou:.1f}", refresh=False)
            bar.update()
    confusion, groups = over_hosts(confusion), over_hosts(groups)
    if confusion.outside:
        logger.warning(
            "%d judged pixels have labels that name no class of '%s'",
            confusion.outside,
            protocol.classes.name,
        )
    return Report(
        protocol=protocol,
        confusion=confusion,
        groups=groups,
        images=count,
        seconds=time.perf_counter() - started,
    )


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
    workers = min(os.cpu_count() or 1, 16)
    ahead: deque[Future[Windows]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="evaluation") as pool:
        try:
            for index in indices:
                ahead.append(pool.submit(_load, source, index, protocol))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _load(source: Source, index: int, protocol: Protocol) -> Windows:
    key = f"number {index}"
    try:
        record = source[index]
        key = str(record["key"])
        image = record["image"]
        if isinstance(image, bytes):
            image = decode_image(image, name=key)
        image = checked_pixels(image, name=key)
        scene = Scene(image, _truth(record, image, protocol), key)
        return prepare(image, protocol.geometry, extra=scene)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"evaluation, image '{key}': {error}") from error


def _truth(
    record: Mapping[str, Any], image: UInt8[np.ndarray, "h w 3"], protocol: Protocol
) -> Int[np.ndarray, "h w"]:
    label = record["label"]
    name = f"label {record['label_key']}" if "label_key" in record else "label"
    if isinstance(label, bytes):
        label = decode_label(label, name=name)
    label = np.asarray(label)
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
        zero_label=protocol.zero_label,
    )
    if protocol.outside_labels == "error" and (truth == classes).any():
        raise ValueError(
            f"{name}: expected labels of the {classes} classes of '{protocol.classes.name}' or "
            f"{protocol.ignore_label}, got {sorted({int(x) for x in label[truth == classes]})[:8]}"
        )
    return truth
