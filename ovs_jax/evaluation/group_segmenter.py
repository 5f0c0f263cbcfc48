"""Models that put the pixels of an image into groups, as segmenters.

A model sees windows of one size, many at a time, from many images. What it says of a window is
small (group maps on the patch grid and a few embeddings), is kept on the host, and is painted to
the size of the original image by `canvas`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from ovs_jax import parallel
from ovs_jax.evaluation.canvas import Painting
from ovs_jax.evaluation.painting import BackgroundRule, inverse_temperature
from ovs_jax.evaluation.programs import programs
from ovs_jax.evaluation.protocols import TEMPLATES, Protocol
from ovs_jax.evaluation.refinement import Pamr, refine_groups
from ovs_jax.evaluation.segmenter import AnyProtocol, Prepared, Segmenter
from ovs_jax.evaluation.sliding import Geometry, Windows, slot_count
from ovs_jax.evaluation.text_bank import class_embeddings, text_embeddings, unit
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.typing import ClassSet

BATCH = 16
"""Windows that an accelerator sees at a time."""


@dataclass(frozen=True)
class ClassBank:
    """Class embeddings with the background rule.

    Attributes:
      unit: embeddings of the classes that are described in words.
      background: the threshold below which there is background; None without background.
      rule: what is compared with it, see `painting.background_scores`.
    """

    unit: Float[np.ndarray, "c e"]
    background: float | None
    rule: BackgroundRule = "best_group"


@dataclass(frozen=True)
class Described:
    """What the model says of an image, on the host.

    Attributes:
      windows: the image.
      image_embedding: the projected windows.
      group_embeddings: the projected groups of each.
      group_maps: the share of each patch in each group.
    """

    windows: Windows
    image_embedding: Float[np.ndarray, "k e"]
    group_embeddings: Float[np.ndarray, "k g e"]
    group_maps: Float[np.ndarray, "k rows cols g"]


_Row = tuple[np.ndarray, np.ndarray, np.ndarray]


class GroupSegmenter(Segmenter):
    """A trained GroupViT or OVSegmentor.

    Args:
      static: from `functional.init`; the module has ``segment_features``, ``encode_image``,
        ``project_image``, ``encode_text``, ``project_text`` and the parameter ``logit_scale``.
      params: its parameters.
      stats: its batch statistics.
      tokenizer: the one that it was trained with.
      text_length: the most tokens of a text that it takes.
      geometry: sizes for `segment`; a protocol brings its own.
      image_size: side of the images that it was trained with, at which whole images are embedded.
      mesh: devices of this process over which the windows of a batch are split, each with all
        parameters; None for the default device.
    """

    def __init__(
        self,
        static: functional.Static,
        params: functional.Tree,
        stats: functional.Tree,
        *,
        tokenizer: Tokenizer,
        text_length: int,
        geometry: Geometry | None = None,
        image_size: int = 224,
        mesh: jax.sharding.Mesh | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.text_length = text_length
        self.image_size = image_size
        super().__init__(Geometry() if geometry is None else geometry)
        self._mesh = mesh
        target = None if mesh is None else parallel.replicated(mesh)
        self._params, self._stats = jax.device_put((params, stats), target)
        self._scale = inverse_temperature(self._params["logit_scale"])
        self._run = programs(static)
        # The last class list: many images are segmented with the same one.
        self._embedded: tuple[Any, np.ndarray] = (None, np.zeros((0, 0), np.float32))

    def judged_by(self, protocol: AnyProtocol) -> Protocol:
        """The protocol itself, if it is one for groups."""
        if isinstance(protocol, Protocol):
            return protocol
        raise ValueError(
            f"preset '{protocol.name}' judges models that find masks (zegformer), and this model "
            "makes groups of pixels; expected a preset such as groupvit, ovsegmentor or tcl"
        )

    def paintings(
        self, images: Iterable[Prepared], protocol: AnyProtocol, *, batch_size: int | None = None
    ) -> Iterator[tuple[Any, Painting]]:
        """See `Segmenter.paintings`; windows of many images share a batch."""
        rules = self.judged_by(protocol)
        bank = self.bank(
            rules.classes,
            background=rules.background,
            rule=rules.background_rule,
            templates=rules.templates,
        )
        windows = (image for image in images if isinstance(image, Windows))
        for described in self.describe(windows, batch_size=batch_size or default_batch()):
            painting = self.paint(described, bank, refinement=rules.refinement)
            yield described.windows.extra, painting

    def bank(
        self,
        class_set: ClassSet,
        *,
        background: float | None = None,
        rule: BackgroundRule = "best_group",
        templates: Sequence[str] = TEMPLATES,
    ) -> ClassBank:
        """Embeds a class list.

        Args:
          class_set: the names.
          background: the threshold below which there is background; given exactly if the list has
            a background.
          rule: what is compared with it, see `painting.background_scores`.
          templates: prompts, each with one ``{}`` for the name.

        Raises:
          ValueError: if the threshold and the class list do not fit.
        """
        if class_set.has_background != (background is not None):
            expected = "a threshold" if class_set.has_background else "None"
            raise ValueError(
                f"background: expected {expected} for class list '{class_set.name}', "
                f"got {background}"
            )
        if background is not None and not 0 <= background <= 1:
            raise ValueError(f"background: expected a threshold of 0 to 1, got {background}")
        unit = self.embed_classes(class_set.foreground, templates=templates)
        return ClassBank(unit, background, rule)

    def embed_classes(
        self, names: Sequence[str], *, templates: Sequence[str] = TEMPLATES
    ) -> Float[np.ndarray, "c e"]:
        """Class embeddings of length one; see `text_bank.class_embeddings`."""
        asked = (tuple(names), tuple(templates))
        if asked != self._embedded[0]:
            unit = class_embeddings(
                self._encode_text,
                names,
                templates=templates,
                tokenizer=self.tokenizer,
                length=self.text_length,
            )
            self._embedded = (asked, unit)
        return self._embedded[1]

    def embed_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "m e"]:
        """Text embeddings of length one; what a text has beyond ``text_length`` tokens is cut."""
        found = text_embeddings(
            self._encode_text, texts, tokenizer=self.tokenizer, length=self.text_length
        )
        return unit(found)

    def embed_images(self, images: Float[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b e"]:
        """Whole normalised images as embeddings of length one, in one batch."""
        found = np.asarray(self._run.image(self._params, self._stats, self._placed(images)))
        return unit(found.astype(np.float32)[: len(images)])

    def _encode_text(self, ids: Any, mask: Any) -> Any:
        return self._run.text(self._params, self._stats, ids, mask)

    def describe(self, images: Iterable[Windows], *, batch_size: int) -> Iterator[Described]:
        """Runs the model over the windows of images, in full batches across images.

        While the device works on a batch, the host prepares the next and paints the last.

        Args:
          images: any number; taken as they are needed.
          batch_size: windows that the device sees at a time; the last batch is filled up.

        Yields:
          One result an image, in order.
        """
        waiting: deque[Windows] = deque()  # images that are not described yet
        pixels: list[np.ndarray] = []  # their windows that the device has not seen
        running: deque[tuple[Any, int]] = deque()  # what the device works on, and how much counts
        rows: list[_Row] = []  # described windows of the first waiting images

        def complete(*, at_most: int) -> Iterator[Described]:
            while len(running) > at_most:
                features, used = running.popleft()
                rows.extend(list(zip(*map(np.asarray, features), strict=True))[:used])
            while waiting and len(rows) >= len(waiting[0].pixels):
                image = waiting.popleft()
                count = len(image.pixels)
                yield Described(image, *map(np.stack, zip(*rows[:count], strict=True)))
                del rows[:count]

        for image in images:
            waiting.append(image)
            pixels.extend(image.pixels)
            while len(pixels) >= batch_size:
                running.append((self._features(pixels[:batch_size]), batch_size))
                del pixels[:batch_size]
                yield from complete(at_most=1)
        if pixels:
            blank = [np.zeros_like(pixels[0])] * (batch_size - len(pixels))
            running.append((self._features(pixels + blank), len(pixels)))
        yield from complete(at_most=0)

    def _features(self, windows: Sequence[Float[np.ndarray, "window window 3"]]) -> Any:
        return self._run.features(self._params, self._stats, self._placed(np.stack(windows)))

    def _placed(self, batch: Float[np.ndarray, "b h w 3"]) -> Any:
        if self._mesh is None:
            return batch
        fill = -len(batch) % parallel.batch_shards(self._mesh)
        batch = np.pad(batch, ((0, fill), (0, 0), (0, 0), (0, 0)))
        return jax.device_put(batch, parallel.batch_sharding(self._mesh))

    def paint(
        self, described: Described, bank: ClassBank, *, refinement: Pamr | None = None
    ) -> Painting:
        """Scores the groups of an image against the classes, ready to be painted.

        Args:
          described: the image.
          bank: the classes.
          refinement: how the groups' masks are refined; None for not.
        """
        count = len(described.group_maps)
        free = slot_count(count) - count
        tables = self._run.tables(
            self._scale,
            np.pad(described.image_embedding, ((0, free), (0, 0))),
            np.pad(described.group_embeddings, ((0, free), (0, 0), (0, 0))),
            bank.unit,
            None if bank.background is None else np.float32(bank.background),
            rule=bank.rule,
        )
        return Painting(
            maps=described.group_maps,
            tables=np.asarray(tables)[:count],
            size=described.windows.size,
            new_size=described.windows.new_size,
            geometry=described.windows.geometry,
            refined=None if refinement is None else _refined(described, refinement),
        )


def default_batch() -> int:
    """Windows that the model sees at a time: on a CPU one, whose attention maps stay in its caches
    (twice as fast as eight at once with a ViT-B at 448 px), elsewhere `BATCH`.
    """
    return 1 if jax.default_backend() == "cpu" else BATCH


def _refined(described: Described, pamr: Pamr) -> Float[Array, "slots window window g"]:
    windows, count = described.windows, len(described.group_maps)
    room = ((0, slot_count(count) - count), (0, 0), (0, 0), (0, 0))
    return refine_groups(
        np.pad(described.group_maps, room),
        np.pad(windows.pixels, room),
        count=np.int32(count),
        extent=np.minimum(windows.size, windows.geometry.window).astype(np.int32),
        pamr=pamr,
    )
