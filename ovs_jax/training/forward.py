"""What one pass of the caption objective makes of a batch, from the encoders to the losses."""

from dataclasses import dataclass, field

import jax
from jaxtyping import Array, Float

from ovs_jax.models.features import ImageFeatures
from ovs_jax.training.mask_task import MaskPair

Pooled = dict[str, Float[Array, "..."]]
"""Unprojected features by name."""


@dataclass(frozen=True)
class Encoded:
    """A batch before the projectors.

    Attributes:
      pooled: of every row: ``image``, texts by name and ``completion``, the decoder's answer.
      tokens: of all tokens of a row: ``image`` (its groups) and texts by name.
      image: all that the image encoder tells.
    """

    pooled: Pooled
    tokens: Pooled
    image: ImageFeatures


@dataclass(frozen=True)
class Projected:
    """A batch in the shared space; None where nothing asks for it."""

    image: Float[Array, "b e"]
    caption: Float[Array, "b e"]
    groups: Float[Array, "b g e"] | None
    prompts: Float[Array, "b k e"] | None
    answer: Float[Array, "b e"] | None
    completion: Float[Array, "b e"] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Forward:
    """Everything one pass computes, for logging and parity.

    Attributes:
      losses: the loss terms, unweighted.
      image: unprojected features of the images.
      image_embedding: projected whole images.
      group_embeddings: projected groups, where tokens are projected.
      caption_embedding: projected captions.
      question: unprojected question tokens, with the entity task.
      answer_embedding: projected answers, with the entity task.
      predicted_answer: what is contrasted with them.
      pairs: one or two directions of the mask task.
    """

    losses: dict[str, Float[Array, ""]]
    image: ImageFeatures
    image_embedding: Float[Array, "b e"]
    group_embeddings: Float[Array, "b g e"] | None
    caption_embedding: Float[Array, "b e"]
    question: Float[Array, "b l d"] | None = None
    answer_embedding: Float[Array, "b e"] | None = None
    predicted_answer: Float[Array, "b e"] | None = None
    pairs: tuple[MaskPair, ...] = field(default=())
