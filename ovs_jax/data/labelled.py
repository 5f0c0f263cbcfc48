"""Training batches of images with label maps: what stands in them, and which classes.

Facts: ZegFormer, section 4.1. Pixels of unseen classes are ignored, images are kept. A batch is a
pure function of its step, as in `ovs_jax.data.batches`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from ovs_jax.data.batches import Bad, BuiltBatch, first_usable
from ovs_jax.data.images import checked_pixels, decode_image, decode_label
from ovs_jax.data.label_transforms import LabelRecipe
from ovs_jax.data.mixture import ImageTextSet, Mixture
from ovs_jax.data.order import Purpose, generator
from ovs_jax.data.pipeline import TrainingBatches
from ovs_jax.data.pipeline_config import StreamConfig
from ovs_jax.data.records import BadRecordError, Record, Source
from ovs_jax.text.class_splits import IGNORED, ClassSplit

LabelAugmentation = Callable[..., tuple[np.ndarray, np.ndarray]]
"""``(image, label, generator, ignored=...)`` to a normalised image and labels of fixed size."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledBatchBuilder:
    """Builds the batch of a step from images with label maps.

    Attributes:
      mixture: the sets of images and labels, and which record stands where.
      split: which classes there are, and which of them are trained.
      augment: for images with labels.
      seed: of all chance.
      ignore_label: the stored label of pixels that are not trained on.
      most_classes: classes an image can have in a batch, so that shapes are static.
      slots: the slots of the global batch that this process builds.
      fields: the entries of a batch.
    """

    mixture: Mixture
    split: ClassSplit
    augment: LabelAugmentation
    seed: int
    ignore_label: int
    most_classes: int
    slots: range
    fields: tuple[str, ...] = ("image", "label", "classes")

    def __call__(self, step: int) -> BuiltBatch:
        """Builds the batch of a step.

        A record that cannot be used is replaced by the one in the same slot of the next step. An
        image without any seen class can be used: it has no mask.

        Args:
          step: from 0 on.

        Returns:
          ``image`` (uint8 b h w 3), ``label`` (int32 b h w, indices of seen classes, -1 where
          ignored) and ``classes`` (int32 b n, the indices that occur, filled up with -1); and what
          went wrong on the way.

        Raises:
          ValueError: `MOST_TRIES` records in a row cannot be used.
        """
        step = int(step)
        bad: Bad = []
        items = [self._usable_item(step, slot, bad) for slot in self.slots]
        return {name: np.stack([item[name] for item in items]) for name in self.fields}, bad

    def _usable_item(self, step: int, slot: int, bad: Bad) -> dict[str, np.ndarray]:
        stream, own_slot = self.mixture.locate(slot)

        def attempt(number: int) -> dict[str, np.ndarray]:
            place = stream.order.record(step + number, own_slot)
            rng = generator(Purpose.IMAGE, self.seed, step, slot, number)
            return self._item(stream.data.source[place], rng)

        return first_usable(attempt, bad)

    def _item(self, record: Record, rng: np.random.Generator) -> dict[str, np.ndarray]:
        image, stored = labelled_pixels(record)
        try:
            label = self.split.trained(stored, ignore_label=self.ignore_label)
        except ValueError as error:
            raise BadRecordError(str(record["key"]), "labels of no class", str(error)) from error
        image, label = self.augment(image, label, rng, ignored=IGNORED)
        label, classes = present_classes(label, most=self.most_classes)
        return {"image": image, "label": label, "classes": classes}


def labelled_pixels(
    record: Record,
) -> tuple[np.ndarray, np.ndarray]:
    """The decoded image, uint8 [h, w, 3], and stored labels, int32 [h, w], of a record.

    Raises:
      ValueError: the record lacks a field.
      BadRecordError: one of them cannot be read, or they differ in size.
    """
    missing = [name for name in ("image", "label", "key") if name not in record]
    if missing:
        raise ValueError(
            f"record of a labelled source: expected the fields image, label and key, "
            f"misses {missing}"
        )
    key, image, label = str(record["key"]), record["image"], record["label"]
    if isinstance(image, bytes):
        image = decode_image(image, name=key)
    image = checked_pixels(image, name=key)
    label = decode_label(label, name=key) if isinstance(label, bytes) else np.asarray(label)
    if label.ndim != 2 or label.dtype.kind not in "iu":
        raise BadRecordError(
            key,
            "label map of wrong kind",
            f"expected integers [h, w], got {label.dtype} {list(label.shape)}",
        )
    if label.shape != image.shape[:2]:
        raise BadRecordError(
            key,
            "label map and image differ in size",
            f"expected {image.shape[1]} x {image.shape[0]} pixels as the image has, got "
            f"{label.shape[1]} x {label.shape[0]}",
        )
    return image, label.astype(np.int32)


def present_classes(
    label: Int[np.ndarray, "h w"], *, most: int
) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, " n"]]:
    """The classes of a label map, in a list of fixed length.

    Args:
      label: class indices; negative where ignored.
      most: length of the list.

    Returns:
      The labels and the classes that occur, ascending, filled up with -1. Of more classes than
      there is room for, those with the fewest pixels are ignored, and so are their pixels.
    """
    classes, pixels = np.unique(label[label >= 0], return_counts=True)
    if len(classes) > most:
        kept = np.sort(np.argsort(-pixels, kind="stable")[:most])
        _log.warning(
            "an image has %d classes, most_classes is %d: the smallest are ignored",
            len(classes),
            most,
        )
        classes = classes[kept]
        label = np.where(np.isin(label, classes), label, IGNORED)
    padded = np.full(most, IGNORED, np.int32)
    padded[: len(classes)] = classes
    return label.astype(np.int32), padded


def labelled_batches(
    source: Source,
    split: ClassSplit,
    config: StreamConfig,
    *,
    recipe: LabelRecipe,
    ignore_label: int = 255,
    most_classes: int = 64,
) -> TrainingBatches:
    """The batches of a run on images with label maps.

    Args:
      source: records with ``image``, ``label`` and ``key``.
      split: what the labels mean, and which classes are trained.
      config: how batches are drawn.
      recipe: the augmentation.
      ignore_label: the stored label of pixels that are not trained on.
      most_classes: see `LabelledBatchBuilder`.

    Returns:
      An endless iterator of this process's part of every batch; close it to end its workers.

    Raises:
      ValueError: the source is too small for a batch.
    """
    if most_classes < 1:
        raise ValueError(f"most_classes: expected at least 1, got {most_classes}")
    builder = LabelledBatchBuilder(
        mixture=config.mixed([ImageTextSet(source)]),
        split=split,
        augment=recipe,
        seed=config.seed,
        ignore_label=ignore_label,
        most_classes=most_classes,
        slots=config.slots,
    )
    return TrainingBatches(builder, config)
