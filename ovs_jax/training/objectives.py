"""Where model, losses and batch meet: the only thing a new method adds to training.

An objective is a function ``(model, batch, key) -> (loss, metrics)``. The model is bound for
training; what its BatchNorm layers record follows the order of the calls made here, which is that
of the published code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ovs_jax import parallel
from ovs_jax.losses.contrastive import clamped_scale, contrastive
from ovs_jax.losses.mask_consistency import least_agreeing_groups, mask_consistency
from ovs_jax.losses.matching import match_maps
from ovs_jax.losses.multilabel import multi_label_contrastive, shared_prompts
from ovs_jax.losses.tiles import tiled_sums, whole_sums
from ovs_jax.models.features import ImageFeatures, Text, TextFeatures
from ovs_jax.nn.stochastic import split
from ovs_jax.typing import Batch

Noise = Sequence[Float[Array, "b _ _"]]


@runtime_checkable
class Objective(Protocol):
    """What the training step differentiates."""

    def __call__(
        self, model: Any, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Returns the scalar loss and what to log."""
        ...


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


@dataclass(frozen=True)
class CaptionObjective:
    """The losses of GroupViT and OVSegmentor, each with a weight; a weight of 0 leaves the task
    out.

    GroupViT is contrast plus multi-label (section 3.2); OVSegmentor's stage 1 is contrast plus
    entity, its stage 2 adds 0.1 x mask (section 3.4).

    Attributes:
      multi_label: weight of the contrast with noun prompts.
      entity: weight of masked entity completion.
      mask: weight of cross-image mask consistency; needs the momentum encoder.
      dual: whether the mask loss is averaged with its reverse direction.
      mask_reduction: ``sum`` over the batch is the published scale.
      detached_share: share of the groups whose predicted maps get no gradient.
      share_prompts: whether a prompt counts as right for every image of the batch that has the same
        one, and not for the image it was made for alone.
      project_tokens: whether text tokens and groups pass the projectors too. Only the mask loss
        uses any of them, but OVSegmentor's running statistics have seen them (GroupViT's not).
      tile: how many texts at a time meet the images of a device in the contrastive losses; several
        devices then pass their texts round a ring. 0 holds the matrix of the whole batch at once.
      kind: tells the objectives apart in a config.
    """

    multi_label: float = 0.0
    entity: float = 0.0
    mask: float = 0.0
    dual: bool = False
    mask_reduction: Literal["sum", "mean"] = "sum"
    detached_share: float = 0.5
    project_tokens: bool = True
    share_prompts: bool = False
    tile: int = 0
    kind: Literal["captions"] = "captions"

    def __post_init__(self) -> None:
        if self.tile < 0:
            raise ValueError(f"objective.tile: expected at least 0, got {self.tile}")
        if self.tile and self.share_prompts:
            raise ValueError(
                "objective: expected tile = 0 with share_prompts, which compares all prompts of a "
                f"batch at once, got {self.tile}"
            )

    def __call__(
        self, model: Any, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Returns the weighted loss, and for the log its parts, the temperature and the groups."""
        done = self.forward(model, batch, key)
        loss = self.total(done.losses)
        metrics = {f"loss/{name}": value for name, value in done.losses.items()}
        metrics["loss"] = loss
        metrics["logit_scale"] = clamped_scale(model.logit_scale[...])
        return loss, metrics | group_statistics(done.image)

    def total(self, losses: dict[str, Float[Array, ""]]) -> Float[Array, ""]:
        """The weighted sum of the terms."""
        weights = {"multi_label": self.multi_label, "entity": self.entity, "mask": self.mask}
        return losses["contrastive"] + sum(
            weights[name] * value for name, value in losses.items() if name != "contrastive"
        )

    def forward(
        self, model: Any, batch: Batch, key: Key[Array, ""] | None, *, noise: Noise | None = None
    ) -> Forward:
        """Runs the model and all losses.

        Args:
          model: bound for training.
          batch: arrays; see `typing.Batch`.
          key: random key of dropout, stochastic depth and Gumbel noise.
          noise: the Gumbel noise itself in order of use, in place of drawing it.
        """
        text_key, image_key, mask_key = split(key, 3)
        draws = _Draws(noise, len(model.image_encoder.output_groups))
        texts = _encode_texts(model, self._texts(batch), text_key)

        caption_embedding, prompt_embeddings = self._project_captions(model, texts)
        image = model.encode_image(batch["image"], key=image_key, gumbel=draws.take())
        image_embedding = model.project_image(image.pooled)
        group_embeddings = (
            model.project_image(image.groups) if self.project_tokens or self.mask else None
        )

        scale = model.logit_scale[...]
        sums = tiled_sums(self.tile, axes=parallel.BATCH_AXES) if self.tile else whole_sums
        contrast = partial(contrastive, logit_scale=scale, sums=sums)
        losses = {"contrastive": contrast(image_embedding, caption_embedding)}
        done = {}
        if self.multi_label:
            losses["multi_label"] = multi_label_contrastive(
                image_embedding,
                prompt_embeddings,
                logit_scale=model.multi_label_logit_scale[...],
                sums=sums,
                positive=(shared_prompts(batch["prompts"]["ids"]) if self.share_prompts else None),
            )
        if self.entity:
            self._project(model, texts["question"])
            answer = self._project(model, texts["answer"])
            question = texts["question"].tokens
            predicted = model.complete_entity(
                question, image.groups, mask=batch["question"]["mask"]
            )
            losses["entity"] = contrast(predicted, answer)
            done = {"question": question, "answer_embedding": answer, "predicted_answer": predicted}
        if self.mask and group_embeddings is not None:
            pairs = self._pairs(model, batch, texts, image, group_embeddings, mask_key, draws)
            losses["mask"] = self._mask_loss(model, batch["image"].shape, pairs)
            done["pairs"] = pairs
        return Forward(
            losses=losses,
            image=image,
            image_embedding=image_embedding,
            group_embeddings=group_embeddings,
            caption_embedding=caption_embedding,
            **done,
        )

    def _texts(self, batch: Batch) -> dict[str, Text]:
        names = ["caption"]
        names += ["prompts"] if self.multi_label else []
        names += ["question", "answer"] if self.entity else []
        names += ["cross_entity"] if self.mask else []
        return {name: batch[name] for name in names}

    def _project_captions(
        self, model: Any, texts: dict[str, TextFeatures]
    ) -> tuple[Float[Array, "b e"], Float[Array, "b k e"]]:
        """Captions and prompts pass the projector together, as one batch of texts."""
        caption = texts["caption"].pooled
        batch = caption.shape[0]
        if self.multi_label:
            prompts = texts["prompts"].pooled.reshape(batch, -1, caption.shape[1])
            together = jnp.concatenate([caption[:, None], prompts], axis=1)
            projected = model.project_text(together)
            return projected[:, 0], projected[:, 1:]
        projected = model.project_text(caption)
        self._project_tokens(model, texts["caption"])
        return projected, projected[:, None]

    def _project(self, model: Any, text: TextFeatures) -> Float[Array, "b e"]:
        projected = model.project_text(text.pooled)
        self._project_tokens(model, text)
        return projected

    def _project_tokens(self, model: Any, text: TextFeatures) -> None:
        if self.project_tokens:
            model.project_text(text.tokens)

    def _pairs(
        self,
        model: Any,
        batch: Batch,
        texts: dict[str, TextFeatures],
        image: ImageFeatures,
        group_embeddings: Float[Array, "b g e"],
        key: Key[Array, ""] | None,
        draws: "_Draws",
    ) -> tuple[MaskPair, ...]:
        """Predicted and target maps (section 3.4), in one direction or both."""
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
                detached=least_agreeing_groups(embeddings, entity, fraction=self.detached_share),
            )

        cross = batch["cross_image"]
        partner = momentum(cross, first_key)
        entity = jax.lax.stop_gradient(self._project(model, texts["cross_entity"]))
        pairs = (pair(image, group_embeddings, partner),)
        if self.dual:
            own = momentum(batch["image"], second_key)
            online = model.encode_image(cross, key=third_key, gumbel=draws.take())
            model.project_image(online.pooled)
            pairs += (pair(online, model.project_image(online.groups), own),)
        return pairs

    def _mask_loss(
        self, model: Any, shape: tuple[int, ...], pairs: tuple[MaskPair, ...]
    ) -> Float[Array, ""]:
        patch = model.image_encoder.patch_embedding.patch_size
        terms = [
            mask_consistency(
                pair.predicted,
                pair.target,
                detached=pair.detached,
                grid=(shape[1] // patch, shape[2] // patch),
                size=shape[1],
                reduction=self.mask_reduction,
                match=parallel.map_over_batch(match_maps),
            )
            for pair in pairs
        ]
        return sum(terms[1:], terms[0]) / len(terms)


def _products(query: Float[Array, "b g d"], key: Float[Array, "b n d"]) -> Float[Array, "b g n"]:
    return jnp.einsum("bgd,bnd->bgn", query, key, preferred_element_type=jnp.float32)


class _Draws:
    """Hands out prepared Gumbel noise, one array a grouping stage, or None to have it drawn."""

    def __init__(self, noise: Noise | None, stages: int) -> None:
        self.noise = None if noise is None else iter(noise)
        self.stages = stages

    def take(self) -> list[Float[Array, "b _ _"]] | None:
        """The noise of the next image encoder call."""
        return None if self.noise is None else [next(self.noise) for _ in range(self.stages)]


def _encode_texts(
    model: Any, texts: dict[str, Text], key: Key[Array, ""] | None
) -> dict[str, TextFeatures]:
    """Encodes texts of several roles in one pass; prompts come flattened (b k) l."""
    flat = {
        name: {part: array.reshape(-1, array.shape[-1]) for part, array in text.items()}
        for name, text in texts.items()
    }
    together = {
        part: jnp.concatenate([text[part] for text in flat.values()]) for part in ("ids", "mask")
    }
    features = model.encode_text(together, key=key)
    parts, start = {}, 0
    for name, text in flat.items():
        end = start + text["ids"].shape[0]
        parts[name] = TextFeatures(
            pooled=features.pooled[start:end], tokens=features.tokens[start:end]
        )
        start = end
    return parts


def group_statistics(image: ImageFeatures) -> dict[str, Float[Array, ""]]:
    """How evenly patches spread over the groups of an image; a collapse shows here first.

    Returns:
      ``group_entropy`` in nats (at most the logarithm of the number of groups) and
      ``largest_group_share``, both means over the batch.
    """
    share = image.assignments[0].soft
    for later in image.assignments[1:]:
        share = jnp.einsum("bfg,bgn->bfn", later.soft, share)
    groups = share.shape[1]
    used = jax.nn.one_hot(share.argmax(1), groups).mean(1)
    entropy = -jax.scipy.special.xlogy(used, used).sum(-1)
    return {"group_entropy": entropy.mean(), "largest_group_share": used.max(-1).mean()}
