"""Models that find masks, with or without CLIP to name them, as segmenters."""

import typing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ovs_jax.evaluation.image_branch import Look, embed_masks
from ovs_jax.evaluation.mask_painting import CLASSES, MaskPainting
from ovs_jax.evaluation.proposals import Fusion, image_logits, mask_classes
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.regions import CHUNK
from ovs_jax.evaluation.segmenter import AnyProtocol, Prepared, Segmenter
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.evaluation.text_bank import synonym_embeddings
from ovs_jax.evaluation.zero_shot import ZeroShotImage, ZeroShotProtocol
from ovs_jax.nn import functional
from ovs_jax.text.class_splits import ClassSplit
from ovs_jax.text.prompts import synonyms
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.typing import ClassSet


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

    @property
    def width(self) -> int:
        """The length of an embedding."""
        return self.model.params["text_projection"]["kernel"].shape[1]

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


@typing.runtime_checkable
class ClassEmbedder(typing.Protocol):
    """What makes embeddings of class names, in the space that the model's segments are in."""

    def embed_classes(
        self, names: Sequence[str], *, templates: Sequence[str]
    ) -> Float[np.ndarray, "c e"]:
        """Class embeddings of length one."""
        ...


@dataclass(frozen=True)
class PlainEmbedder:
    """Embeddings of bare names, such as those of the synthetic world, which has no prompts.

    Attributes:
      embed: from names to embeddings of length one.
    """

    embed: Callable[[Sequence[str]], Any]

    def embed_classes(
        self, names: Sequence[str], *, templates: Sequence[str]
    ) -> Float[np.ndarray, "c e"]:
        """Class embeddings of length one, whatever the templates."""
        del templates
        return np.asarray(self.embed(names), np.float32)


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


class MaskSegmenter(Segmenter):
    """A trained ZegFormer: finds masks and says how much each speaks for each class.

    Attributes:
      exclusive: whether the masks share out every pixel, see `MaskPainting`.
      defaults: the classes that were trained, as the seen ones of its split, and all choices of
        `segment`; other protocols bring their own.

    Args:
      model: called with images, class embeddings and ``layers="last"``, it gives logits of classes
        and masks (`models.zegformer.model.ZegFormer`).
      text: the embeddings that it was trained with.
      defaults: see above.
      clip: what looks at the masks; None where there is no CLIP.
      geometry: the size at which `segment` looks at images (windows do not count); that of
        ``defaults`` if None.
      chunk: pictures that CLIP is shown at a time.
    """

    exclusive = False

    def __init__(
        self,
        model: BoundModel,
        *,
        text: ClassEmbedder,
        defaults: ZeroShotProtocol,
        clip: ClipClassifier | None = None,
        geometry: Geometry | None = None,
        chunk: int = CHUNK,
    ) -> None:
        sides = {"short_side": defaults.short_side, "long_side": defaults.long_side}
        super().__init__(Geometry(**sides) if geometry is None else geometry)
        # One image is seen at a time, by one device.
        device = jax.local_devices()[0]
        self._model = BoundModel(model.static, *jax.device_put(tuple(model)[1:], device))
        self._text = text
        self._clip = clip
        self._chunk = chunk
        self.defaults = defaults
        self._banks: dict[Any, ZeroShotBank] = {}

    def judged_by(self, protocol: AnyProtocol) -> ZeroShotProtocol:
        """The protocol, or one with its class list and image size if it is for groups.

        Of such a list the classes that were trained are seen, and prompts, fusion and calibration
        are the model's own.

        Raises:
          ValueError: it asks for a CLIP that is not there, for other seen classes than those that
            were trained, or for refined groups.
        """
        if isinstance(protocol, Protocol):
            protocol = self._of_classes(protocol)
        if protocol.fusion.uses_image and self._clip is None:
            raise ValueError(
                f"fusion '{protocol.fusion.kind}' asks CLIP what is in a mask, and there is none "
                "with this model; expected fusion 'segment'"
            )
        trained, asked = (_keys(p.split.seen_names) for p in (self.defaults, protocol))
        if trained != asked and not protocol.elsewhere:
            lacking, leaked = sorted(asked - trained), sorted(trained - asked)
            raise ValueError(
                f"preset '{protocol.name}' takes the {len(protocol.split.seen)} seen classes of "
                f"'{protocol.split.name}' for trained, and the model was trained with "
                f"{len(self.defaults.split.seen)} of '{self.defaults.split.name}'; not trained: "
                f"{lacking[:4] or 'none'}, trained besides: {leaked[:4] or 'none'}. Expected a "
                "preset for transfer, such as zegformer_transfer, or tcl with a class list without "
                "background"
            )
        return protocol

    def _of_classes(self, protocol: Protocol) -> ZeroShotProtocol:
        if protocol.refinement is not None:
            raise ValueError("refinement: belongs to groups of pixels, and this model finds masks")
        size = protocol.geometry
        classes, trained = protocol.classes.foreground, _keys(self.defaults.split.seen_names)
        return replace(
            self.defaults,
            name=protocol.name,
            split=ClassSplit(
                ClassSet(protocol.classes.name, classes),
                unseen=tuple(i for i, name in enumerate(classes) if not _keys([name]) & trained),
                labels=tuple(range(len(classes))),
            ),
            short_side=size.short_side or size.window,
            long_side=max(size.long_side, size.window),
            ignore_label=protocol.ignore_label,
            background=protocol.background,
            elsewhere=True,
            note=protocol.note,
        )

    def bank(self, protocol: ZeroShotProtocol) -> ZeroShotBank:
        """Embeds the classes of a protocol, for both branches."""
        names, asks = protocol.split.classes.names, protocol.fusion.uses_image
        asked = (names, protocol.split.unseen, protocol.templates, protocol.image_templates, asks)
        if asked not in self._banks:
            image_unit = None
            if asks and self._clip is not None:
                image_unit = self._clip.embed_classes(names, templates=protocol.image_templates)
            # Only the last one is kept: many images are segmented with the same classes.
            self._banks = {
                asked: ZeroShotBank(
                    unit=self._text.embed_classes(names, templates=protocol.templates),
                    image_unit=image_unit,
                    unseen=np.isin(np.arange(len(names)), protocol.split.unseen),
                )
            }
        return self._banks[asked]

    def paintings(
        self, images: Iterable[Prepared], protocol: AnyProtocol, *, batch_size: int | None = None
    ) -> Iterator[tuple[Any, MaskPainting]]:
        """See `Segmenter.paintings`; every image is seen alone, whatever the batch size.

        A program is compiled for every size of padded images. The device works on an image while
        the host prepares the next and paints the last.
        """
        del batch_size
        rules = self.judged_by(protocol)
        bank = self.bank(rules)
        running: deque[tuple[ZeroShotImage, Any, Any]] = deque()

        def painted() -> tuple[Any, MaskPainting]:
            image, masks, scores = running.popleft()
            painting = MaskPainting(
                logits=np.asarray(masks, np.float32),
                mask_scores=np.asarray(scores),
                unseen=bank.unseen,
                padded=image.padded,
                size=image.size,
                new_size=image.new_size,
                gamma=rules.gamma,
                background=rules.background,
                exclusive=self.exclusive,
            )
            return image.extra, painting

        for image in images:
            if isinstance(image, ZeroShotImage):
                running.append((image, *self._look(image, bank, rules)))
            if len(running) > 1:
                yield painted()
        while running:
            yield painted()

    def _look(
        self, image: ZeroShotImage, bank: ZeroShotBank, rules: ZeroShotProtocol
    ) -> tuple[Array, Array]:
        """Mask logits, and how much each mask speaks for each class; both may be under way."""
        count = len(bank.unit)
        # Classes are filled up, so that another number of them is no other program.
        unit = np.pad(bank.unit, ((0, -count % CLASSES), (0, 0)))
        logits, masks = _find_masks(*self._model, image.pixels, unit)
        logits = jnp.concatenate([logits[:, :count], logits[:, -1:]], axis=-1)
        embeddings = scale = None
        if bank.image_unit is not None and self._clip is not None:
            clip = self._clip.model
            embeddings = _show_masks(
                *clip, image.clip_pixels, masks, look=rules.look, chunk=self._chunk
            )
            # As published: not limited to 100, which every published CLIP has anyway.
            scale = jnp.exp(clip.params["logit_scale"].astype(jnp.float32))
        scores = _classify(
            logits, embeddings, bank.image_unit, scale, bank.unseen, fusion=rules.fusion
        )
        return masks, scores


def _keys(names: Iterable[str]) -> set[str]:
    """What names are compared by: every synonym, without stray blanks, in lower case."""
    return {" ".join(part.lower().split()) for name in names for part in synonyms(name)}


@partial(jax.jit, static_argnums=0)
def _find_masks(
    static: functional.Static, params: Any, stats: Any, pixels: Array, unit: Array
) -> tuple[Float[Array, "q c_plus_1"], Float[Array, "q rows cols"]]:
    model = functional.bind(static, params, stats)
    found = model(pixels[None], unit, layers="last")
    return found.logits[-1, 0], found.masks[-1, 0].astype(jnp.float32)


@partial(jax.jit, static_argnums=0, static_argnames=("look", "chunk"))
def _show_masks(
    static: functional.Static,
    params: Any,
    stats: Any,
    pixels: Array,
    masks: Array,
    *,
    look: Look,
    chunk: int,
) -> Float[Array, "q e"]:
    clip = functional.bind(static, params, stats)
    return embed_masks(clip, pixels, masks, look=look, chunk=chunk)


@partial(jax.jit, static_argnames="fusion")
def _classify(
    logits: Array,
    embeddings: Array | None,
    image_unit: Array | None,
    scale: Array | None,
    unseen: Array,
    *,
    fusion: Fusion,
) -> Float[Array, "q c"]:
    from_clip = None
    if embeddings is not None and image_unit is not None and scale is not None:
        from_clip = image_logits(embeddings, image_unit, logits, scale=scale)
    return mask_classes(logits, from_clip, unseen=unseen, fusion=fusion)


@partial(jax.jit, static_argnums=0)
def _embed_text(
    static: functional.Static, params: Any, stats: Any, ids: Array, mask: Array
) -> Float[Array, "m e"]:
    return functional.bind(static, params, stats).embed_text({"ids": ids, "mask": mask})
