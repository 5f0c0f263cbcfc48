"""What the models return: small frozen records of arrays, usable under ``jax.jit``."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Bool, Float, Int

Text = dict[str, Int[Array, "b l"] | Bool[Array, "b l"]]
"""``{"ids": int32 b l, "mask": bool b l}``; the mask is True on kept tokens."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Assignment:
    """How one grouping block shared its tokens among its groups (GroupViT, equations 3 to 5).

    Attributes:
      soft: softmax over the groups, with the Gumbel noise if there was any.
      hard: what the tokens were merged by: one-hot over the groups, or ``soft`` itself.
      query: the groups' projected queries, unscaled.
      key: the tokens' projected keys, unscaled.
    """

    soft: Float[Array, "b g n"]
    hard: Float[Array, "b g n"]
    query: Float[Array, "b g d"]
    key: Float[Array, "b n d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ImageFeatures:
    """The output of a grouping encoder.

    Attributes:
      pooled: mean of the final tokens after the final norm, before the projector.
      groups: the final tokens, one a group, after the final norm.
      assignments: one of each grouping stage, in order.
    """

    pooled: Float[Array, "b d"]
    groups: Float[Array, "b g d"]
    assignments: tuple[Assignment, ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TextFeatures:
    """The output of a text encoder, before the projector."""

    pooled: Float[Array, "b d"]
    tokens: Float[Array, "b l d"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SegmentFeatures:
    """What segmentation needs of an image.

    Attributes:
      image_embedding: the projected whole image.
      group_embeddings: the projected groups.
      group_maps: the share of each patch in each group; the soft assignments of all stages
        multiplied.
    """

    image_embedding: Float[Array, "b e"]
    group_embeddings: Float[Array, "b g e"]
    group_maps: Float[Array, "b rows cols g"]
