"""Losses of a set of predicted segments (Carion et al., 2020; Cheng et al., 2021).

Every decoder layer predicts a set, and each is matched and judged on its own (deep supervision).
Matching happens at the resolution of the predictions, losses at that of the targets, and only
matched masks are brought there. Layers are visited one after the other, and what a layer needs at
full resolution is computed again for its gradient: memory does not grow with the layers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.losses.masks import (
    dice_loss,
    enlarge,
    focal_loss,
    pairwise_mask_costs,
    shrink,
)
from ovs_jax.losses.matching import match_targets

Match = Callable[[Float[Array, "b l q n"]], Int[Array, "b l n"]]


@dataclass(frozen=True)
class SetWeights:
    """Weights of the parts, for matching and for the loss alike (ZegFormer, section 5.1).

    Attributes:
      classification: of the class.
      mask: of the focal part.
      dice: of the dice part.
      no_object: how much a segment that is none counts in the classification, where others count 1.
    """

    classification: float = 1.0
    mask: float = 20.0
    dice: float = 1.0
    no_object: float = 0.1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PairCosts:
    """What giving each query to each target costs, layer by layer.

    Attributes:
      classification: minus the probability of the target's class.
      focal: a mean over pixels.
      dice: between 0 and 1.
      total: the weighted sum; ``+inf`` where there is no target.
    """

    classification: Float[Array, "l b q n"]
    focal: Float[Array, "l b q n"]
    dice: Float[Array, "l b q n"]
    total: Float[Array, "l b q n"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SetLosses:
    """Unweighted losses, one a decoder layer, and how they came about.

    Attributes:
      classification: cross entropy, weighted mean over queries.
      mask: focal loss, summed over targets and divided by their number.
      dice: dice loss, likewise.
      queries: the query that each target was given; -1 for none.
    """

    classification: Float[Array, " l"]
    mask: Float[Array, " l"]
    dice: Float[Array, " l"]
    queries: Int[Array, "l b n"]

    def total(self, weights: SetWeights) -> Float[Array, ""]:
        """The weighted sum over parts and layers."""
        parts = (
            weights.classification * self.classification
            + weights.mask * self.mask
            + weights.dice * self.dice
        )
        return parts.sum()


def set_losses(
    logits: Float[Array, "l b q c"],
    masks: Float[Array, "l b q rows cols"],
    *,
    classes: Int[Array, "b n"],
    targets: Bool[Array, "b n h w"],
    weights: SetWeights,
    valid: Bool[Array, "b h w"] | None = None,
    known: Bool[Array, "l b q"] | None = None,
    match: Match = match_targets,
) -> SetLosses:
    """Matches and judges the predictions of all layers.

    Means are over the whole batch: of the classification over all queries, of the masks over all
    targets (at least one). An image without targets teaches that its segments are none.

    Args:
      logits: of every class and, last, of no object.
      masks: predicted membership, logits, any size.
      classes: class index of each target, -1 for padding.
      targets: their masks; without meaning for padding.
      weights: of the parts.
      valid: the pixels that count in masks and matching. None counts all, as published: ignored
        pixels are then outside of every mask.
      known: the segments that may be taught to be none, such as `mostly_on`; None for all, as
        published.
      match: the matching; under a mesh, one that is mapped over the batch shards.

    Returns:
      The unweighted losses of each layer.
    """
    costs = pair_costs(
        logits, masks, classes=classes, targets=targets, weights=weights, valid=valid
    )
    queries = match(costs.total.swapaxes(0, 1)).swapaxes(0, 1)
    count = jnp.maximum((classes >= 0).sum(), 1).astype(jnp.float32)

    @jax.checkpoint
    def judge(layer: tuple[Array, Array]) -> tuple[Array, Array]:
        predicted, chosen = layer
        matched = (chosen >= 0).astype(jnp.float32)
        own = jnp.maximum(chosen, 0)[:, :, None, None]
        small = jnp.take_along_axis(predicted.astype(jnp.float32), own, axis=1)
        large = enlarge(small, *targets.shape[-2:])
        focal = focal_loss(large, targets, valid=valid)
        dice = dice_loss(large, targets, valid=valid)
        return (focal * matched).sum() / count, (dice * matched).sum() / count

    mask, dice = jax.lax.map(judge, (masks, queries))
    return SetLosses(
        classification=classification_loss(
            logits,
            classes=classes,
            queries=queries,
            no_object=weights.no_object,
            known=known,
        ),
        mask=mask,
        dice=dice,
        queries=queries,
    )


def pair_costs(
    logits: Float[Array, "l b q c"],
    masks: Float[Array, "l b q rows cols"],
    *,
    classes: Int[Array, "b n"],
    targets: Bool[Array, "b n h w"],
    weights: SetWeights,
    valid: Bool[Array, "b h w"] | None = None,
) -> PairCosts:
    """The matching costs of all layers; no gradient. Arguments as for `set_losses`."""
    rows, cols = masks.shape[-2:]
    small = shrink(targets, rows, cols)
    counts = None if valid is None else shrink(valid, rows, cols)
    focal, dice = jax.lax.map(
        lambda layer: pairwise_mask_costs(layer, small, valid=counts), jax.lax.stop_gradient(masks)
    )
    share = jax.nn.softmax(jax.lax.stop_gradient(logits).astype(jnp.float32), axis=-1)
    own = jnp.maximum(classes, 0)[None, :, None, :]
    classification = -jnp.take_along_axis(share, own, axis=-1)
    total = weights.mask * focal + weights.classification * classification + weights.dice * dice
    present = (classes >= 0)[None, :, None, :]
    return PairCosts(
        classification=classification,
        focal=focal,
        dice=dice,
        total=jnp.where(present, total, jnp.inf),
    )


def classification_loss(
    logits: Float[Array, "l b q c"],
    *,
    classes: Int[Array, "b n"],
    queries: Int[Array, "l b n"],
    no_object: float,
    known: Bool[Array, "l b q"] | None = None,
) -> Float[Array, " l"]:
    """Cross entropy of the matched classes, and of "no object" for all other queries.

    Args:
      logits: of every class and, last, of no object.
      classes: class index of each target, -1 for padding.
      queries: the query of each target, -1 for none.
      no_object: weight of a query without target; others have 1.
      known: the queries that may be taught to be none; of others only those with a target are
        judged. None for all.

    Returns:
      For each layer the weighted mean over the queries of the batch: the sum of the weights is what
      is divided by.
    """
    count, last = logits.shape[2], logits.shape[3] - 1
    mine = queries[:, :, None, :] == jnp.arange(count)[None, None, :, None]
    index = jnp.sum(jnp.where(mine, classes[None, :, None, :], 0), axis=-1)
    index = jnp.where(mine.any(-1), index, last)
    logs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    entropy = -jnp.take_along_axis(logs, index[..., None], axis=-1)[..., 0]
    none = no_object if known is None else no_object * known
    weight = jnp.where(index == last, none, 1.0)
    # Without any target, all segments may be unknown.
    return (entropy * weight).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), no_object)


def mostly_on(
    masks: Float[Array, "l b q rows cols"], valid: Bool[Array, "b h w"]
) -> Bool[Array, "l b q"]:
    """Whether at least half of each predicted mask lies on valid pixels; an empty one does."""
    inside = masks > 0
    off = inside & ~shrink(valid, *masks.shape[-2:])[None, :, None]
    return 2 * off.sum((3, 4)) <= inside.sum((3, 4))


def pixel_classification_loss(
    logits: Float[Array, "b rows cols c"], label: Int[Array, "b h w"]
) -> Float[Array, ""]:
    """Mean cross entropy of pixels, of the per-pixel baseline.

    Args:
      logits: class logits, resized bilinearly to the label's size.
      label: class index of each pixel, negative where it is ignored.

    Returns:
      The mean over the pixels that are not ignored; 0 where all are.
    """
    large = enlarge(jnp.moveaxis(logits.astype(jnp.float32), -1, 1), *label.shape[1:])
    logs = jax.nn.log_softmax(large, axis=1)
    known = label >= 0
    entropy = -jnp.take_along_axis(logs, jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
    return jnp.sum(jnp.where(known, entropy, 0.0)) / jnp.maximum(known.sum(), 1)
