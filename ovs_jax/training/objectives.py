"""Where model, losses and batch meet: the only thing a new method adds to training.

An objective is a function ``(model, batch, key) -> (loss, metrics)``. The model is bound for
training; what its BatchNorm layers record follows the order of the calls made here, which is that
of the published code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ovs_jax import parallel
from ovs_jax.losses.contrastive import clamped_scale, contrastive
from ovs_jax.losses.multilabel import multi_label_contrastive, shared_prompts
from ovs_jax.losses.sigmoid import sigmoid_contrastive
from ovs_jax.losses.tiles import Sums, tiled_sums, whole_sums
from ovs_jax.models.features import ImageFeatures, Text, TextFeatures
from ovs_jax.nn.stochastic import split
from ovs_jax.training.forward import Encoded, Forward, Pooled, Projected
from ovs_jax.training.mask_task import Draws, MaskPair, Noise, mask_loss, mask_pairs
from ovs_jax.typing import Batch


@runtime_checkable
class Objective(Protocol):
    """What the training step differentiates."""

    def __call__(
        self, model: Any, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Returns the scalar loss and what to log."""
        ...


@runtime_checkable
class PartedObjective(Objective, Protocol):
    """An objective in two halves, between which a batch may be put together from its parts.

    See `CaptionObjective` for what each of them does.
    """

    def check_parts(self) -> None: ...  # noqa: D102

    def features(  # noqa: D102
        self, model: Any, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[Any, dict[str, Float[Array, ""]]]: ...

    def compare(  # noqa: D102
        self, model: Any, pooled: Any, batch: Batch
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]: ...


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
      contrast: how images meet captions, and answers their prediction: ``softmax`` over the batch,
        as published, or ``sigmoid`` of every pair by itself (SigLIP), which needs
        ``model.logit_bias``. Noun prompts meet images by softmax always.
      tile: how many texts at a time meet the images of a device in the contrastive losses; several
        devices then pass their texts round a ring. 0 holds the matrix of the whole batch at once.
    """

    multi_label: float = 0.0
    entity: float = 0.0
    mask: float = 0.0
    dual: bool = False
    mask_reduction: Literal["sum", "mean"] = "sum"
    detached_share: float = 0.5
    project_tokens: bool = True
    share_prompts: bool = False
    contrast: Literal["softmax", "sigmoid"] = "softmax"
    tile: int = 0

    def __post_init__(self) -> None:
        if self.tile < 0:
            raise ValueError(f"objective.tile: expected at least 0, got {self.tile}")
        if self.tile and self.share_prompts:
            raise ValueError(
                "objective: expected tile = 0 with share_prompts, which compares all prompts of a "
                f"batch at once, got {self.tile}"
            )

    def check_padding_unseen(self, model: Any) -> None:
        """Refuses a model whose loss or statistics depend on how far texts are padded.

        Args:
          model: the model's config.

        Raises:
          ValueError: names what looks at padding, and what to set.
        """
        if self.project_tokens:
            raise ValueError(
                "data.text_lengths: got 'buckets', but the running statistics of the text "
                "projector see padded tokens; set objective.project_tokens=false, or keep "
                "'original'"
            )
        if self.entity and not model.mask_padding:
            raise ValueError(
                "data.text_lengths: got 'buckets', but the entity decoder attends to padded "
                "tokens; set model.mask_padding=true, or keep 'original'"
            )

    def __call__(
        self, model: Any, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Returns the weighted loss, and for the log its parts, the temperature and the groups."""
        done = self.forward(model, batch, key)
        loss, metrics = self._reported(model, done.losses)
        return loss, metrics | group_statistics(done.image)

    def _reported(
        self, model: Any, losses: dict[str, Float[Array, ""]]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        loss = self.total(losses)
        metrics = {f"loss/{name}": value for name, value in losses.items()}
        metrics["loss"] = loss
        metrics["logit_scale"] = clamped_scale(model.logit_scale[...])
        return loss, metrics

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
        draws = Draws(noise, len(model.image_encoder.output_groups))
        encoded = self._encode(model, batch, text_key, image_key, draws)
        projected = self._project(model, encoded.pooled, encoded.tokens)
        losses = self._losses(model, projected, batch)
        pairs: tuple[MaskPair, ...] = ()
        if self.mask and projected.groups is not None:
            pairs = mask_pairs(
                model,
                batch,
                encoded.image,
                projected.groups,
                mask_key,
                project_entity=lambda: self._text(
                    model, encoded.pooled, encoded.tokens, "cross_entity"
                ),
                draws=draws,
                dual=self.dual,
                detached_share=self.detached_share,
            )
            losses["mask"] = mask_loss(
                pairs,
                batch["image"].shape,
                patch_size=model.image_encoder.patch_embedding.patch_size,
                reduction=self.mask_reduction,
            )
        return Forward(
            losses=losses,
            image=encoded.image,
            image_embedding=projected.image,
            group_embeddings=projected.groups,
            caption_embedding=projected.caption,
            question=encoded.tokens.get("question") if self.entity else None,
            answer_embedding=projected.answer,
            predicted_answer=projected.completion,
            pairs=pairs,
        )

    def features(
        self, model: Any, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[Pooled, dict[str, Float[Array, ""]]]:
        """What the encoders make of each row alone; the first half of `forward`.

        Args:
          model: bound for training.
          batch: any part of a batch.
          key: random key of dropout, stochastic depth and Gumbel noise.

        Returns:
          Features to be concatenated with those of the other parts, and the groups for the log.
        """
        text_key, image_key, _ = split(key, 3)
        draws = Draws(None, len(model.image_encoder.output_groups))
        encoded = self._encode(model, batch, text_key, image_key, draws)
        return encoded.pooled, group_statistics(encoded.image)

    def compare(
        self, model: Any, pooled: Pooled, batch: Batch
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """What the features of a whole batch cost; the second half of `forward`.

        Args:
          model: bound for training.
          pooled: features of all rows.
          batch: the whole batch, of which only ids are looked at.

        Returns:
          As `__call__`, without the groups.
        """
        losses = self._losses(model, self._project(model, pooled, {}), batch)
        return self._reported(model, losses)

    def check_parts(self) -> None:
        """Refuses an objective that cannot be cut into `features` and `compare`.

        Raises:
          ValueError: names what stands in the way, and what to set.
        """
        for name, value in (("project_tokens", False), ("mask", 0)):
            if getattr(self, name):
                raise ValueError(
                    f"step.negatives: 'batch' in parts needs objective.{name}={value}: what it "
                    "computes from all tokens of a batch is not kept between the passes; or set "
                    "step.accumulate=1 or step.negatives=part"
                )

    def _encode(
        self,
        model: Any,
        batch: Batch,
        text_key: Key[Array, ""] | None,
        image_key: Key[Array, ""] | None,
        draws: Draws,
    ) -> Encoded:
        texts = _encode_texts(model, self._texts(batch), text_key)
        image = model.encode_image(batch["image"], key=image_key, gumbel=draws.take())
        pooled = {name: text.pooled for name, text in texts.items()} | {"image": image.pooled}
        if self.multi_label:
            rows, width = texts["caption"].pooled.shape
            pooled["prompts"] = texts["prompts"].pooled.reshape(rows, -1, width)
        tokens = {name: text.tokens for name, text in texts.items()}
        if self.entity:
            decoded = model.decode_question(
                tokens["question"], image.groups, mask=batch["question"]["mask"]
            )
            pooled["completion"] = decoded[:, 0]
        return Encoded(pooled, tokens | {"image": image.groups}, image)

    def _project(self, model: Any, pooled: Pooled, tokens: Pooled) -> Projected:
        """Everything through its projector, in the order that running statistics have seen."""
        prompts = answer = completion = groups = None
        if self.multi_label:
            # Captions and prompts pass the projector together, as one batch of texts.
            together = jnp.concatenate([pooled["caption"][:, None], pooled["prompts"]], axis=1)
            both = model.project_text(together)
            caption, prompts = both[:, 0], both[:, 1:]
        else:
            caption = self._text(model, pooled, tokens, "caption")
        image = model.project_image(pooled["image"])
        if self.project_tokens or self.mask:
            groups = model.project_image(tokens["image"])
        if self.entity:
            self._text(model, pooled, tokens, "question")
            answer = self._text(model, pooled, tokens, "answer")
            completion = model.project_answer(pooled["completion"])
        return Projected(image, caption, groups, prompts, answer, completion)

    def _text(self, model: Any, pooled: Pooled, tokens: Pooled, name: str) -> Float[Array, "b e"]:
        projected = model.project_text(pooled[name])
        if self.project_tokens:
            model.project_text(tokens[name])
        return projected

    def _losses(self, model: Any, found: Projected, batch: Batch) -> dict[str, Float[Array, ""]]:
        sums = tiled_sums(self.tile, axes=parallel.BATCH_AXES) if self.tile else whole_sums
        contrast = self._contrast(model, sums)
        losses = {"contrastive": contrast(found.image, found.caption)}
        if found.prompts is not None:
            losses["multi_label"] = multi_label_contrastive(
                found.image,
                found.prompts,
                logit_scale=model.multi_label_logit_scale[...],
                sums=sums,
                positive=(shared_prompts(batch["prompts"]["ids"]) if self.share_prompts else None),
            )
        if found.completion is not None and found.answer is not None:
            losses["entity"] = contrast(found.completion, found.answer)
        return losses

    def _contrast(self, model: Any, sums: Sums) -> Callable[[Array, Array], Float[Array, ""]]:
        scale = model.logit_scale[...]
        if self.contrast == "softmax":
            return partial(contrastive, logit_scale=scale, sums=sums)
        if model.logit_bias is None:
            raise ValueError(
                "objective.contrast: 'sigmoid' needs a model with a bias; set model.logit_bias=true"
            )
        return partial(
            sigmoid_contrastive,
            logit_scale=scale,
            logit_bias=model.logit_bias[...],
            tile=self.tile,
            axes=parallel.BATCH_AXES,
        )

    def _texts(self, batch: Batch) -> dict[str, Text]:
        names = ["caption"]
        names += ["prompts"] if self.multi_label else []
        names += ["question", "answer"] if self.entity else []
        names += ["cross_entity"] if self.mask else []
        return {name: batch[name] for name in names}


def _encode_texts(
    model: Any, texts: dict[str, Text], key: Key[Array, ""] | None
) -> dict[str, TextFeatures]:
    """Encodes texts of several roles in one pass; prompts come flattened (b k) l.

    The texts of an image stay side by side, so that every device encodes those of its own images;
    one role after the other, each would have to send most of its texts to others and back.
    """
    images = next(iter(texts.values()))["ids"].shape[0]
    rows = {
        name: {part: array.reshape(images, -1, array.shape[-1]) for part, array in text.items()}
        for name, text in texts.items()
    }
    joined = {
        part: jnp.concatenate([text[part] for text in rows.values()], axis=1)
        for part in ("ids", "mask")
    }
    count, length = joined["ids"].shape[1:]
    together = {part: array.reshape(-1, length) for part, array in joined.items()}
    features = model.encode_text(together, key=key)

    def cut(x: Array, start: int, end: int) -> Array:
        own = x.reshape(images, count, *x.shape[1:])[:, start:end]
        return own.reshape(-1, *x.shape[1:])

    parts, start = {}, 0
    for name, text in rows.items():
        end = start + text["ids"].shape[1]
        parts[name] = TextFeatures(
            pooled=cut(features.pooled, start, end), tokens=cut(features.tokens, start, end)
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
