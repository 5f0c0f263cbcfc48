"""Runs a segmenter over labelled images under a protocol."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Int, UInt8
from tqdm import tqdm

from ovs_jax.data.images import decode_label
from ovs_jax.data.records import Record, Source
from ovs_jax.evaluation.loading import decoded_image, image_count, load_ahead, naming_record
from ovs_jax.evaluation.segmentation_report import SegmentationReport
from ovs_jax.evaluation.segmenter import AnyProtocol, Prepared, Segmenter
from ovs_jax.evaluation.tally import empty_tally
from ovs_jax.evaluation.zero_shot_report import ZeroShotReport


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


def evaluate(
    segmenter: Segmenter,
    source: Source,
    protocol: AnyProtocol,
    *,
    thresholds: Sequence[float] = (),
    gammas: Sequence[float] = (),
    limit: int | None = None,
    progress: bool = True,
    batch_size: int | None = None,
) -> SegmentationReport | ZeroShotReport:
    """Scores a model on labelled images.

    In a run of several processes each takes every n-th image, and all get the whole result.

    Args:
      segmenter: the model.
      source: records with ``image``, ``label`` and ``key``. Encoded labels are taken as the data
        set stores them, arrays as class indices.
      protocol: all choices that decide the score.
      thresholds: other background thresholds to score in the same pass.
      gammas: other calibrations of seen classes to score in the same pass.
      limit: judge only so many images, from the beginning.
      progress: whether a bar is shown.
      batch_size: see `Segmenter.paintings`.

    Returns:
      The scores; of a model that finds masks those of seen and unseen classes.

    Raises:
      ValueError: if there is no image, one of them cannot be used (the message names it), or the
        kind of model cannot be judged so.
    """
    count = image_count(source, limit)
    started = time.perf_counter()
    rules = segmenter.judged_by(protocol)
    tally = empty_tally(rules, thresholds=thresholds, gammas=gammas)
    mine = range(jax.process_index(), count, jax.process_count())
    scenes = load_scenes(source, mine, protocol, looked_at=rules)
    with tqdm(total=len(mine), unit="image", disable=not progress, desc=protocol.name) as bar:
        for scene, painting in segmenter.paintings(scenes, rules, batch_size=batch_size):
            tally = tally.plus(painting, scene.truth)
            bar.set_postfix(mIoU=f"{100 * tally.mean_iou:.1f}", refresh=False)
            bar.update()
    return tally.report(images=count, seconds=time.perf_counter() - started)


def load_scenes(
    source: Source, indices: Iterable[int], protocol: AnyProtocol, *, looked_at: AnyProtocol
) -> Iterator[Prepared]:
    """Decodes and prepares images in threads, a few ahead of their use.

    Args:
      source: records with ``image``, ``label`` and ``key``.
      indices: which, in order.
      protocol: how labels are read.
      looked_at: how images are prepared.

    Yields:
      Images that hold their `Scene` as ``extra``.

    Raises:
      ValueError: if an image or its labels cannot be used; the message names it.
    """
    return load_ahead(partial(_load, source, protocol, looked_at), indices)


def _load(source: Source, protocol: AnyProtocol, looked_at: AnyProtocol, index: int) -> Prepared:
    with naming_record(index) as named:
        record = source[index]
        key = named(record)
        image = decoded_image(record, key)
        return looked_at.prepared(image, extra=Scene(image, _truth(record, image, protocol), key))


def _truth(
    record: Record, image: UInt8[np.ndarray, "h w 3"], protocol: AnyProtocol
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
    return protocol.truth(label, stored=stored, name=name)
