"""Cross-image mask consistency (OVSegmentor, section 3.4): from the model's calls to the loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ovs_jax import parallel
from ovs_jax.losses.mask_consistency import least_agreeing_groups, mask_consistency
from ovs_jax.losses.matching import match_maps
from ovs_jax.models.features import ImageFeatures
from ovs_jax.nn.stochastic import split
from ovs_jax.typing import Batch

Noise = Sequence[Float[Array, "b _ _"]]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MaskPair:
    """One direction of the mask consistency task.

    Attributes:
      predicted: products of the online queries of one image and the momentum keys of its partner,
        scaled.
      target: the same with the momentum queries of the partner.
      entity: projected prompt of the shared entity.
      detached: groups of the last stage that agree least with the entity.
    """

    predicted: Float[Array, "b g n"]
    target: Float[Array, "b g n"]
    entity: Float[Array, "b e"]
    detached: Bool[Array, "b k"]


class Draws:
    """Hands out prepared Gumbel noise, one array a grouping stage, or None to have it drawn."""

    def __init__(self, noise: Noise | None, stages: int) -> None:
        self.noise = None if noise is None else iter(noise)
        self.stages = stages

    def take(self) -> list[Float[Array, "b _ _"]] | None:
        """The noise of the next image encoder call."""
        return None if self.noise is None else [next(self.noise) for _ in range(self.stages)]


def mask_pairs(
    model: Any,
    batch: Batch,
    image: ImageFeatures,
    group_embeddings: Float[Array, "b g e"],
    key: Key[Array, ""] | None,
    *,
    project_entity: Callable[[], Float[Array, "b e"]],
    draws: Draws,
    dual: bool,
    detached_share: float,
) -> tuple[MaskPair, ...]:
    """Predicted and target maps, in one direction or both.

    Args:
      model: bound for training, with a momentum encoder.
      batch: with ``image`` and ``cross_image``.
      image: unprojected features of the images.
      group_embeddings: their projected groups.
      key: random key of the encoders' noise.
      project_entity: projects the prompts of the shared entities, when it is their turn.
      draws: prepared noise, if there is any.
      dual: whether the reverse direction is wanted too.
      detached_share: share of the groups whose predicted maps get no gradient.
    """
    first_key, second_key, third_key = split(key, 3)

    def momentum(images: Array, noise_key: Key[Array, ""] | None) -> ImageFeatures:
        features = model.encode_image_momentum(images, key=noise_key, gumbel=draws.take())
        features = jax.tree.map(jax.lax.stop_gradient, features)
        model.project_image(features.pooled)  # moves the running statistics, as published
        model.project_image(features.groups)
        return features

    def pair(online: ImageFeatures, embeddings: Array, teacher: ImageFeatures) -> MaskPair:
        first, second = online.assignments[0], teacher.assignments[0]
        scale = first.query.shape[-1] ** -0.5
        return MaskPair(
            predicted=_products(first.query, second.key) * scale,
            target=_products(second.query, second.key) * scale,
            entity=entity,
            detached=least_agreeing_groups(embeddings, entity, fraction=detached_share),
        )

    cross = batch["cross_image"]
    partner = momentum(cross, first_key)
    entity = jax.lax.stop_gradient(project_entity())
    pairs = (pair(image, group_embeddings, partner),)
    if dual:
        own = momentum(batch["image"], second_key)
        online = model.encode_image(cross, key=third_key, gumbel=draws.take())
        model.project_image(online.pooled)
        pairs += (pair(online, model.project_image(online.groups), own),)
    return pairs


def mask_loss(
    pairs: tuple[MaskPair, ...],
    shape: tuple[int, ...],
    *,
    patch_size: int,
    reduction: Literal["sum", "mean"],
) -> Float[Array, ""]:
    """The mean of the losses of the directions.

    Args:
      pairs: from `mask_pairs`.
      shape: of the images.
      patch_size: of the image encoder.
      reduction: over the images of the batch.
    """
    terms = [
        mask_consistency(
            pair.predicted,
            pair.target,
            detached=pair.detached,
            grid=(shape[1] // patch_size, shape[2] // patch_size),
            size=shape[1],
            reduction=reduction,
            match=parallel.map_over_batch(match_maps),
        )
        for pair in pairs
    ]
    return sum(terms[1:], terms[0]) / len(terms)


def _products(query: Float[Array, "b g d"], key: Float[Array, "b n d"]) -> Float[Array, "b g n"]:
    return jnp.einsum("bgd,bnd->bgn", query, key, preferred_element_type=jnp.float32)
