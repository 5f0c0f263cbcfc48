"""Reads the reference numbers of one ZegFormer and builds the model they describe."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ovs_jax.conversion.rules import Converted, to_ours
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.sources.zegformer import RULES as ZEGFORMER
from ovs_jax.conversion.sources.zegformer import config as config_of
from ovs_jax.data.transforms import normalize
from ovs_jax.losses.set_prediction import SetLosses, SetWeights, set_losses
from ovs_jax.models.registry import build
from ovs_jax.models.zegformer.config import ZegFormerConfig
from ovs_jax.nn import functional

STRIDE = 32
WEIGHTS = SetWeights()


@dataclass(frozen=True)
class Targets:
    """What a batch should come out as.

    Attributes:
      classes: -1 for padding.
      targets: one mask a target.
      counts: targets of each image.
    """

    classes: np.ndarray
    targets: np.ndarray
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ZegFormerReference:
    """The files ``<name>_weights.npz``, ``<name>_train.npz`` and so on of a folder."""

    folder: Path
    name: str

    def arrays(self, kind: str) -> dict[str, np.ndarray] | None:
        """The arrays of one of the model's files, or None where the folder lacks it."""
        path = self.folder / f"{self.name}_{kind}.npz"
        return dict(np.load(path)) if path.exists() else None

    @cached_property
    def state(self) -> dict[str, np.ndarray]:
        """The parameters under their own names, float32."""
        arrays = np.load(self.folder / f"{self.name}_weights.npz")
        return {name: arrays[name].astype(np.float32) for name in arrays.files}

    @cached_property
    def config(self) -> ZegFormerConfig:
        """Our config of the reference's sizes; its name tells of norms that come first."""
        shapes = {name: array.shape for name, array in self.state.items()}
        sizes = Sizes(shapes)
        found = config_of(sizes)
        if sizes.problems:
            raise ValueError(f"{self.folder / self.name}: {'; '.join(sizes.problems)}")
        pre_norm = "prenorm" in self.name.lower() or found.transformer.pre_norm
        return replace(found, transformer=replace(found.transformer, pre_norm=pre_norm))

    def holds(self, prefix: str) -> bool:
        """Whether the weights below a name are there: a cut file has zeros in their place."""
        return all(
            array.any()
            for name, array in self.state.items()
            if name.startswith(prefix) and name.endswith("weight") and array.ndim > 1
        )

    @cached_property
    def model(self) -> tuple[Any, Converted]:
        """The static model, and the reference's parameters in our form."""
        static, params, stats = functional.abstract(build(self.config))
        return static, to_ours(self.state, ZEGFORMER, params=params, stats=stats)

    @cached_property
    def gradients(self) -> Any:
        """A program: params, (images, classes, masks), texts → ((loss, losses), gradients)."""
        static, converted = self.model

        def loss(
            params: functional.Tree, batch: tuple[Any, Any, Any], classes_unit: Any
        ) -> tuple[Any, SetLosses]:
            images, classes, targets = batch
            model = functional.bind(static, params, converted.stats, train=True)
            predicted = model(images, classes_unit)
            losses = set_losses(
                predicted.logits,
                predicted.masks,
                classes=classes,
                targets=targets,
                weights=WEIGHTS,
            )
            return losses.total(WEIGHTS), losses

        return jax.jit(jax.value_and_grad(loss, has_aux=True))


def padded_images(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The images ``in.image{i}``, normalised and padded to a common multiple of 32."""
    images = []
    while f"in.image{len(images)}" in arrays:
        images.append(normalize(arrays[f"in.image{len(images)}"].transpose(1, 2, 0)))
    height, width = (
        -(-max(image.shape[axis] for image in images) // STRIDE) * STRIDE for axis in (0, 1)
    )
    batch = np.zeros((len(images), height, width, 3), np.float32)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return batch


def training_targets(arrays: dict[str, np.ndarray]) -> Targets:
    """The masks of a training file; every image gets one more target than the fullest has."""
    masks = []
    while f"in.gt_masks{len(masks)}" in arrays:
        masks.append(arrays[f"in.gt_masks{len(masks)}"])
    counts = tuple(len(mask) for mask in masks)
    targets = np.zeros((len(masks), max(counts) + 1, *arrays["padded_size"]), bool)
    classes = np.full(targets.shape[:2], -1, np.int32)
    for i, mask in enumerate(masks):
        targets[i, : len(mask), : mask.shape[1], : mask.shape[2]] = mask
        classes[i, : len(mask)] = arrays[f"in.gt_classes{i}"]
    return Targets(classes=classes, targets=targets, counts=counts)
