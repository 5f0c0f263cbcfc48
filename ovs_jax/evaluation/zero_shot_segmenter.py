"""A model that finds masks, with or without CLIP to name them, as a painter of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ovs_jax.evaluation.image_branch import Look, embed_masks
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.proposals import Fusion, image_logits, mask_classes
from ovs_jax.evaluation.regions import CHUNK
from ovs_jax.evaluation.text_bank import synonym_embeddings
from ovs_jax.evaluation.zero_shot import ZeroShotImage, ZeroShotProtocol
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import Tokenizer


class BoundModel(NamedTuple):
    """A model taken apart by `functional.init`."""

    static: functional.Static
    params: functional.Tree
    stats: functional.Tree


@dataclass(frozen=True)
class ClipClassifier:
    """CLIP with its tokenizer.

    Attributes:
      model: a `models.vision.clip.Clip`.
      tokenizer: its own.
      text_length: the most tokens of a text.
    """

    model: BoundModel
    tokenizer: Tokenizer
    text_length: int = 77

    def embed_classes(
        self, names: Sequence[str], *, templates: Sequence[str]
    ) -> Float[np.ndarray, "c e"]:
        """Class embeddings of length one; see `text_bank.synonym_embeddings`."""
        return synonym_embeddings(
            partial(_embed_text, self.model.static, self.model.params, self.model.stats),
            names,
            templates=templates,
            tokenizer=self.tokenizer,
            length=self.text_length,
        )


@dataclass(frozen=True)
class ZeroShotBank:
    """What classes are compared with.

    Attributes:
      unit: class embeddings of the segment branch, of length one.
      image_unit: those of CLIP's image branch; None where it is not asked.
      unseen: which classes were not trained.
    """

    unit: Float[np.ndarray, "c e"]
    image_unit: Float[np.ndarray, "c f"] | None
    unseen: Bool[np.ndarray, " c"]


def class_bank(clip: ClipClassifier, protocol: ZeroShotProtocol) -> ZeroShotBank:
    """Embeds the classes of a protocol, for both branches."""
    names = protocol.split.classes.names
    image_unit = None
    if protocol.fusion.uses_image:
        image_unit = clip.embed_classes(names, templates=protocol.image_templates)
    return ZeroShotBank(
        unit=clip.embed_classes(names, templates=protocol.templates),
        image_unit=image_unit,
        unseen=np.isin(np.arange(len(names)), protocol.split.unseen),
    )


@dataclass(frozen=True)
class ZeroShotSegmenter:
    """Finds masks and says how much each speaks for each class.

    Attributes:
      model: called with images, class embeddings and ``layers="last"``, it gives logits of classes
        and masks (`models.zegformer.model.ZegFormer`).
      fusion: how its word and CLIP's are put together.
      look: what CLIP is shown of a mask.
      clip: a `models.vision.clip.Clip`; None where ``fusion`` does not use it.
      chunk: pictures that CLIP is shown at a time.
    """

    model: BoundModel
    fusion: Fusion
    look: Look = "crop_mask"
    clip: BoundModel | None = None
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if self.fusion.uses_image and self.clip is None:
            raise ValueError(f"clip: expected a model for fusion '{self.fusion.kind}', got none")

    def paint(self, image: ZeroShotImage, bank: ZeroShotBank) -> MaskPainting:
        """The masks of an image with their classes, ready to be painted.

        A program is compiled for every size of padded images.

        Raises:
          ValueError: the bank has no class embeddings for CLIP where they are needed.
        """
        static, params, stats = self.model
        logits, masks = _find_masks(static, params, stats, image.pixels, bank.unit)
        from_clip = None
        if self.fusion.uses_image and self.clip is not None:
            if bank.image_unit is None:
                raise ValueError(
                    f"bank.image_unit: expected embeddings for fusion '{self.fusion.kind}'"
                )
            from_clip = _ask_clip(
                *self.clip,
                image.clip_pixels,
                masks,
                bank.image_unit,
                logits,
                look=self.look,
                chunk=self.chunk,
            )
        scores = _classify(logits, from_clip, bank.unseen, fusion=self.fusion)
        return MaskPainting(
            logits=np.asarray(masks, np.float32),
            scores=np.asarray(scores),
            unseen=bank.unseen,
            padded=image.padded,
            size=image.size,
            new_size=image.new_size,
        )


@partial(jax.jit, static_argnums=0)
def _find_masks(
    static: functional.Static, params: Any, stats: Any, pixels: Array, unit: Array
) -> tuple[Float[Array, "q c_plus_1"], Float[Array, "q rows cols"]]:
    model = functional.bind(static, params, stats)
    found = model(pixels[None], unit, layers="last")
    return found.logits[-1, 0], found.masks[-1, 0].astype(jnp.float32)


@partial(jax.jit, static_argnums=0, static_argnames=("look", "chunk"))
def _ask_clip(
    static: functional.Static,
    params: Any,
    stats: Any,
    pixels: Array,
    masks: Array,
    unit: Array,
    logits: Array,
    *,
    look: Look,
    chunk: int,
) -> Float[Array, "q c_plus_1"]:
    clip = functional.bind(static, params, stats)
    found = embed_masks(clip, pixels, masks, look=look, chunk=chunk)
    # As published: not limited to 100, which every published CLIP has anyway.
    scale = jnp.exp(params["logit_scale"].astype(jnp.float32))
    return image_logits(found, unit, logits, scale=scale)


@partial(jax.jit, static_argnames="fusion")
def _classify(
    logits: Array, from_clip: Array | None, unseen: Array, *, fusion: Fusion
) -> Float[Array, "q c"]:
    return mask_classes(logits, from_clip, unseen=unseen, fusion=fusion)


@partial(jax.jit, static_argnums=0)
def _embed_text(
    static: functional.Static, params: Any, stats: Any, ids: Array, mask: Array
) -> Float[Array, "m e"]:
    return functional.bind(static, params, stats).embed_text({"ids": ids, "mask": mask})
