"""Named sets of choices for generalised zero-shot segmentation, and images prepared by them.

Facts: ZegFormer, sections 4.1 and 4.2, and its released configurations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from ovs_jax.data.label_transforms import resize_image, short_edge_size
from ovs_jax.data.transforms import normalize
from ovs_jax.evaluation.image_branch import LOOKS, Look
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.regions import CLIP_MEAN, CLIP_STD
from ovs_jax.mapping import lookup
from ovs_jax.text.class_splits import ClassSplit, class_split
from ovs_jax.text.prompts import templates
from ovs_jax.typing import ClassSet

DIVISOR = 32
"""Sides of padded images are multiples of this, as the backbone halves them five times."""
_MEAN = np.asarray(CLIP_MEAN, np.float32)
_STD = np.asarray(CLIP_STD, np.float32)


@dataclass(frozen=True)
class ZeroShotProtocol:
    """Everything that decides a score but the model and the images.

    Attributes:
      name: the preset.
      split: classes in the order of evaluation, and which of them were not trained.
      templates: prompts of the segment branch.
      image_templates: prompts of CLIP's image branch.
      fusion: how the branches are put together.
      look: what CLIP is shown of a mask.
      gamma: what is taken from the scores of seen classes, after all resizing.
      short_side: pixels that the shorter side of an image gets.
      long_side: the most that the longer side may get.
      ignore_label: stored label of pixels that are not judged.
      background: the threshold below which there is background, of a list of one's own; None where
        every pixel gets a class.
      elsewhere: whether the model was trained with other classes than ``split`` has as seen.
      note: what was changed, or is peculiar to the labels, in words.
    """

    name: str
    split: ClassSplit
    templates: tuple[str, ...] = field(default_factory=lambda: templates("scene"))
    image_templates: tuple[str, ...] = field(default_factory=lambda: templates("regions"))
    fusion: Fusion = field(default_factory=Fusion)
    look: Look = "crop_mask"
    gamma: float = 0.0
    short_side: int = 640
    long_side: int = 2560
    ignore_label: int = 255
    background: float | None = None
    elsewhere: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.look not in LOOKS:
            raise ValueError(f"protocol.look: expected one of {LOOKS}, got '{self.look}'")
        if not self.templates or not self.image_templates:
            raise ValueError("protocol.templates: expected at least one prompt for each branch")
        if not 0 < self.short_side <= self.long_side:
            raise ValueError(
                f"protocol.short_side: expected 1 to long_side {self.long_side}, "
                f"got {self.short_side}"
            )
        if not 0 <= self.gamma < float("inf"):
            raise ValueError(f"protocol.gamma: expected a number of at least 0, got {self.gamma}")

    @property
    def title(self) -> str:
        """The preset, the class list and what was changed."""
        return f"{self.name} / {self.split.name}" + (f" ({self.note})" if self.note else "")

    @property
    def classes(self) -> ClassSet:
        """The class list in the order of evaluation, with the background first if there is one."""
        if self.background is None:
            return self.split.classes
        names = ("background", *self.split.classes.names)
        return ClassSet(self.split.name, names, has_background=True)

    def choices(self) -> dict[str, Any]:
        """Every choice in words and numbers, ready to be printed or stored."""
        seen, unseen = len(self.split.seen), len(self.split.unseen)
        chosen = {
            "protocol": f"{self.name}/{self.split.name}",
            "classes": f"{seen} seen, {unseen} unseen, all compete",
            "resize": f"short side {self.short_side}, long side at most {self.long_side}, "
            "bilinear on 8 bits with antialiasing",
            "padding": f"to a multiple of {DIVISOR}, after normalisation",
            "prompts": list(self.templates),
            "class embedding": "mean over prompts and synonyms of embeddings of length one",
            "mask scores": self.fusion.described(),
        }
        if self.fusion.uses_image:
            chosen |= {"CLIP is shown": self.look, "CLIP's prompts": list(self.image_templates)}
        return chosen | {
            "pixels": "sum of mask scores x mask probabilities, resized bilinearly",
            "calibration": f"{self.gamma:g} less for seen classes" if self.gamma else "none",
            "ignored label": self.ignore_label,
            **({"changed": self.note} if self.note else {}),
        }

    def prepared(self, image: UInt8[np.ndarray, "h w 3"], *, extra: Any = None) -> "ZeroShotImage":
        """An image as it is looked at, and ``extra`` with it; safe to call in threads."""
        size = short_edge_size(
            image.shape[0], image.shape[1], short=self.short_side, longest=self.long_side
        )
        return prepare(image, size, extra=extra)

    def truth(
        self, label: Int[np.ndarray, "h w"], *, stored: bool, name: str
    ) -> Int[np.ndarray, "h w"]:
        """A label map as class indices; see `Protocol.truth`."""
        del stored  # the split says what every label means
        try:
            return self.split.evaluated(label, ignore_label=self.ignore_label)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


@dataclass(frozen=True)
class ZeroShotImage:
    """An image, ready for both branches.

    Attributes:
      pixels: normalised for the segment branch and padded with zeros.
      clip_pixels: the same for CLIP.
      size: (height, width) without padding.
      new_size: (height, width) of the result.
      extra: whatever the caller wants to find beside the result.
    """

    pixels: Float[np.ndarray, "h w 3"]
    clip_pixels: Float[np.ndarray, "h w 3"]
    size: tuple[int, int]
    new_size: tuple[int, int]
    extra: Any = None

    @property
    def padded(self) -> tuple[int, int]:
        """(height, width) with padding."""
        return self.pixels.shape[0], self.pixels.shape[1]


def prepare(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], *, extra: Any = None
) -> ZeroShotImage:
    """Resizes, normalises and pads an image on the host.

    Args:
      image: RGB pixels.
      size: (height, width) at which the model sees it.
      extra: see `ZeroShotImage`.
    """
    resized = resize_image(image, size)
    room = [(0, -side % DIVISOR) for side in size]
    return ZeroShotImage(
        pixels=np.pad(normalize(resized), (*room, (0, 0))),
        clip_pixels=np.pad((resized.astype(np.float32) - _MEAN) / _STD, (*room, (0, 0))),
        size=size,
        new_size=(image.shape[0], image.shape[1]),
        extra=extra,
    )


@dataclass(frozen=True)
class _Choices:
    """What a released configuration decides; sizes follow from the data set."""

    split: str
    templates: str
    fusion: Fusion = field(default_factory=Fusion)
    gamma: float = 0.0
    short_side: int = 512
    long_side: int = 2048
    ignore_label: int = 255
    elsewhere: bool = False


_ADE = _Choices("ade20k_full", "scene_subset", ignore_label=65535)
_RESNET101 = {
    "coco_stuff": _Choices("coco_stuff", "scene", gamma=0.1, short_side=640, long_side=2560),
    "pascal_voc": _Choices("pascal_voc", "scene", gamma=0.1),
    "ade20k_full": _ADE,
}
ZERO_SHOT_PRESETS: Mapping[str, Mapping[str, _Choices]] = {
    "zegformer": _RESNET101,
    "zegformer_resnet50": {
        "coco_stuff": _Choices(
            "coco_stuff", "scene_subset", gamma=0.1, short_side=640, long_side=2560
        ),
        "pascal_voc": _Choices("pascal_voc", "scene", fusion=Fusion("image")),
        "ade20k_full": _ADE,
    },
    "zegformer_transfer": {
        "ade20k_full": _Choices(
            "ade20k_full",
            "scene_subset",
            fusion=Fusion("image"),
            ignore_label=65535,
            elsewhere=True,
        ),
    },
}
"""Released configurations: of the two backbones, and trained on COCO-Stuff for 847 classes. In
training the ResNet-101 model of COCO-Stuff has eight prompts, in evaluation one."""


def zero_shot_protocol_names() -> tuple[str, ...]:
    """Every published protocol as ``preset/dataset``."""
    return tuple(f"{preset}/{data}" for preset, sets in ZERO_SHOT_PRESETS.items() for data in sets)


def zero_shot_protocol(preset: str, dataset: str) -> ZeroShotProtocol:
    """A published protocol.

    Args:
      preset: ``zegformer`` (ResNet-101), ``zegformer_resnet50``, or ``zegformer_transfer`` (trained
        on COCO-Stuff, evaluated on another data set).
      dataset: ``coco_stuff``, ``pascal_voc`` or ``ade20k_full``.

    Raises:
      ValueError: an unknown preset, or one that was never used on this data set.
    """
    sets = lookup(ZERO_SHOT_PRESETS, preset, what="zero-shot protocol preset")
    chosen = lookup(sets, dataset, what=f"data set of protocol preset '{preset}'")
    return ZeroShotProtocol(
        name=preset,
        split=class_split(chosen.split),
        templates=templates(chosen.templates),
        fusion=chosen.fusion,
        gamma=chosen.gamma,
        short_side=chosen.short_side,
        long_side=chosen.long_side,
        ignore_label=chosen.ignore_label,
        elsewhere=chosen.elsewhere,
    )
