"""What is learned from label maps: ZegFormer's masks, and the pixels of its baseline."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ovs_jax import parallel
from ovs_jax.losses.masks import class_masks
from ovs_jax.losses.matching import match_targets
from ovs_jax.losses.set_prediction import (
    SetWeights,
    mostly_on,
    pixel_classification_loss,
    set_losses,
)
from ovs_jax.typing import Batch


@dataclass(frozen=True)
class MaskObjective:
    """The loss of ZegFormer (section 5.1): every decoder layer's segments are matched and judged.

    Attributes:
      weights: of the parts, for matching and for the loss.
      valid_mask: whether ignored pixels, those of unseen classes among them, are left out of masks
        and matching. As published they count, as being outside of every mask.
      spare_ignored: whether a segment without target that lies mostly on ignored pixels is left
        out of the classification, as it may well be of an unseen class. As published it is taught
        to be none.
      kind: tells the objectives apart in a config.
    """

    weights: SetWeights = field(default_factory=SetWeights)
    valid_mask: bool = False
    spare_ignored: bool = False
    kind: Literal["masks"] = "masks"

    def __post_init__(self) -> None:
        for name, weight in asdict(self.weights).items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"objective.weights.{name}: expected at least 0, got {weight}")

    def __call__(
        self,
        model: Any,
        batch: Batch,
        key: Key[Array, ""] | None,
        *,
        class_unit: Float[np.ndarray, "c e"],
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Judges a batch of labelled images.

        Args:
          model: bound for training.
          batch: ``image``, ``label`` and ``classes``, see `data.labelled`.
          key: random key of the dropout.
          class_unit: one embedding of length one for each seen class, in the order of the labels.

        Returns:
          The weighted loss over all layers; for the log the parts of the last layer, unweighted,
          and how many masks an image has.
        """
        label, classes = batch["label"], batch["classes"]
        predicted = model(batch["image"], jnp.asarray(class_unit), key=key)
        losses = set_losses(
            predicted.logits,
            predicted.masks,
            classes=classes,
            targets=class_masks(label, classes),
            weights=self.weights,
            valid=label >= 0 if self.valid_mask else None,
            known=mostly_on(predicted.masks, label >= 0) if self.spare_ignored else None,
            match=parallel.map_over_batch(match_targets),
        )
        loss = losses.total(self.weights)
        return loss, {
            "loss": loss,
            "loss/classification": losses.classification[-1],
            "loss/mask": losses.mask[-1],
            "loss/dice": losses.dice[-1],
            "masks": (classes >= 0).sum(-1).mean(),
        }


@dataclass(frozen=True)
class PixelObjective:
    """The loss of the per-pixel baseline (section 5.2): every pixel that is not ignored is judged.

    Attributes:
      kind: tells the objectives apart in a config.
    """

    kind: Literal["pixels"] = "pixels"

    def __call__(
        self,
        model: Any,
        batch: Batch,
        key: Key[Array, ""] | None,
        *,
        class_unit: Float[np.ndarray, "c e"],
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The mean cross entropy; arguments as for `MaskObjective`, no key is used."""
        del key
        logits = model(batch["image"], jnp.asarray(class_unit))
        loss = pixel_classification_loss(logits, batch["label"])
        return loss, {"loss": loss}


LabelObjective = MaskObjective | PixelObjective
"""Objectives of models that learn from label maps."""
