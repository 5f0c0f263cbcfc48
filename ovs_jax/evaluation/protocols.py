"""Named sets of choices under which scores are comparable.

A protocol holds every choice that changes a score, and is printed in full beside it. Scores of
different protocols never share a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, UInt8

from ovs_jax.data.benchmarks import find_view
from ovs_jax.evaluation.confusion import encode_truth
from ovs_jax.evaluation.painting import TOP_CLASSES, BackgroundRule
from ovs_jax.evaluation.refinement import Pamr
from ovs_jax.evaluation.sliding import Geometry, Windows, prepare
from ovs_jax.mapping import lookup
from ovs_jax.text import prompts
from ovs_jax.typing import ClassSet

TEMPLATES = ("a photo of a {}.",)
"""The prompt of the published evaluations of GroupViT and OVSegmentor."""


@dataclass(frozen=True)
class Protocol:
    """Everything that decides a score but the model and the images.

    Attributes:
      name: the preset.
      classes: the class list, in the order of the evaluated labels.
      geometry: image size, window and stride.
      templates: prompts of a class; its embedding is the mean over them.
      background: the threshold below which there is background; None where the list has none.
      background_rule: what is compared with it, see `painting.background_scores`.
      refinement: how the groups' masks are brought to the edges of the image; None for not.
      ignore_label: stored label of pixels that are not judged.
      zero_label: ``drop`` where the stored label 0 means "other" and is not judged; 1 is then the
        first class.
      note: what is peculiar to the labels, in words.
      outside_labels: whether a stored label that names no class is an ``error`` or enters only the
        union of what is predicted there (``count``, as the published metric has it).
    """

    name: str
    classes: ClassSet
    geometry: Geometry = field(default_factory=Geometry)
    templates: tuple[str, ...] = TEMPLATES
    background: float | None = None
    background_rule: BackgroundRule = "best_group"
    refinement: Pamr | None = None
    ignore_label: int = 255
    zero_label: Literal["keep", "drop"] = "keep"
    note: str = ""
    outside_labels: Literal["error", "count"] = "error"

    def __post_init__(self) -> None:
        if self.classes.has_background != (self.background is not None):
            expected = "a threshold" if self.classes.has_background else "None"
            raise ValueError(
                f"protocol.background: expected {expected} for class list '{self.classes.name}', "
                f"got {self.background}"
            )
        if not self.templates:
            raise ValueError("protocol.templates: expected at least one prompt, got none")

    @property
    def title(self) -> str:
        """The preset, what was added to it, and the class list."""
        preset = self.name + (" with PAMR" if self.refinement else "")
        return f"{preset} / {self.classes.name}" + (f" ({self.note})" if self.note else "")

    def choices(self) -> dict[str, Any]:
        """Every choice in words and numbers, ready to be printed or stored."""
        geometry = self.geometry
        resize = f"short side {geometry.short_side}, long side at most {geometry.long_side}"
        return {
            "protocol": f"{self.name}/{self.classes.name}",
            "classes": len(self.classes),
            "resize": f"{resize}, bilinear on 8 bits" if geometry.short_side else "none",
            "window": geometry.window,
            "stride": geometry.stride,
            "prompts": list(self.templates),
            "class embedding": "mean over the prompts, then length one",
            "group scores": f"softmax over all classes x softmax over the {TOP_CLASSES} that rank "
            "best for the whole image",
            "background": self._background(),
            "pixels": "best group after bilinear resize of the maps",
            "refinement": "none" if self.refinement is None else str(self.refinement),
            "windows": "averaged, then resized bilinearly to the original size",
            "ignored label": self.ignore_label,
            "labels": self.note or "as the class list has them",
            "stored label 0": "not judged" if self.zero_label == "drop" else "the first class",
            "labels of no class": "an error"
            if self.outside_labels == "error"
            else "only in the union of what is predicted there",
        }

    def prepared(self, image: UInt8[np.ndarray, "h w 3"], *, extra: Any = None) -> Windows:
        """An image as it is looked at, and ``extra`` with it; safe to call in threads."""
        return prepare(image, self.geometry, extra=extra)

    def truth(
        self, label: Int[np.ndarray, "h w"], *, stored: bool, name: str
    ) -> Int[np.ndarray, "h w"]:
        """A label map as `confusion.encode_truth` makes it.

        Args:
          label: its values.
          stored: whether they are as the data set has them, not converted to class indices.
          name: what to call it in an error.

        Raises:
          ValueError: labels of no class, where the protocol does not count them.
        """
        classes = len(self.classes)
        truth = encode_truth(
            label,
            classes=classes,
            ignore_label=self.ignore_label,
            # Sources that convert labels give arrays, whose 0 is the first class.
            zero_label=self.zero_label if stored else "keep",
        )
        outside = truth == classes
        if self.outside_labels == "error" and outside.any():
            raise ValueError(
                f"{name}: expected labels of the {classes} classes of '{self.classes.name}' or "
                f"{self.ignore_label}, got {sorted({int(x) for x in label[outside]})[:8]}"
            )
        return truth

    def _background(self) -> str:
        if self.background is None:
            return "none"
        if self.background_rule == "fixed":
            return f"pixels that no class scores above {self.background:g}, at the original size"
        return f"groups whose class score is below min({self.background:g}, best of any group)"


@dataclass(frozen=True)
class Preset:
    """What the protocols of one published evaluation share (facts on evaluation, section 2).

    Attributes:
      thresholds: the background threshold by class list; None for a list without background.
      refined: thresholds that are others with PAMR.
      background_rule: see `Protocol`.
      templates: see `Protocol`.
    """

    thresholds: Mapping[str, float | None]
    refined: Mapping[str, float] = field(default_factory=dict)
    background_rule: BackgroundRule = "best_group"
    templates: tuple[str, ...] = TEMPLATES


_WITH_BACKGROUND = ("voc21", "context60", "coco_object81")
_WITHOUT_BACKGROUND = ("voc20", "context59", "coco_stuff171", "cityscapes19", "ade150")
PRESETS: Mapping[str, Preset] = {
    "groupvit": Preset({"voc21": 0.95, "context60": 0.35, "coco_object81": 0.95}),
    "ovsegmentor": Preset(
        {
            "voc21": 0.95,
            "context60": 0.35,
            "coco_object81": 0.9,
            "coco_object81_ovsegmentor": 0.9,
            "coco_stuff_ovsegmentor": 0.95,
            "ade150": None,
        }
    ),
    "tcl": Preset(
        {**dict.fromkeys(_WITH_BACKGROUND, 0.5), **dict.fromkeys(_WITHOUT_BACKGROUND)},
        refined=dict.fromkeys(_WITH_BACKGROUND, 0.4),
        background_rule="fixed",
        templates=prompts.TEMPLATES,
    ),
}
_DROPPED_ZERO = frozenset({"ade150", "voc20", "context59"})
_OUTSIDE = frozenset({"coco_object81_ovsegmentor"})


def protocol_names() -> tuple[str, ...]:
    """Every published protocol as ``preset/dataset``."""
    return tuple(f"{name}/{data}" for name, preset in PRESETS.items() for data in preset.thresholds)


def protocol(preset: str, dataset: str, *, refinement: Pamr | None = None) -> Protocol:
    """A published protocol.

    Args:
      preset: ``groupvit`` and ``ovsegmentor``, which share everything but thresholds, or ``tcl``:
        80 prompts and a fixed threshold.
      dataset: the class list, such as ``voc21``, or another reading of a benchmark's labels
        (`data.benchmarks.find_view`).
      refinement: added to the protocol; ``tcl`` has another threshold with it.

    Raises:
      ValueError: an unknown preset, or one that was never used on this class list.
    """
    choices = lookup(PRESETS, preset, what="protocol preset")
    background = lookup(choices.thresholds, dataset, what=f"data set of protocol preset '{preset}'")
    view = find_view(dataset)[1]
    if view.classes is None or view.ignore_label is None:
        raise ValueError(f"protocol: expected a data set with label maps, got '{dataset}'")
    plain = Protocol(
        name=preset,
        classes=view.classes,
        background=background,
        background_rule=choices.background_rule,
        templates=choices.templates,
        ignore_label=view.ignore_label,
        zero_label="drop" if dataset in _DROPPED_ZERO else "keep",
        note=view.note,
        outside_labels="count" if dataset in _OUTSIDE else "error",
    )
    if refinement is None:
        return plain
    return replace(
        plain, refinement=refinement, background=choices.refined.get(dataset, background)
    )


def synthetic_protocol(
    classes: ClassSet,
    *,
    size: int,
    background: float | None = None,
    refinement: Pamr | None = None,
) -> Protocol:
    """The protocol of the synthetic world: one window a scene, at its own size.

    Args:
      classes: of the source: all classes, or the objects after a background.
      size: side of the scenes in pixels.
      background: the threshold where the list has a background.
      refinement: see `Protocol`.
    """
    return Protocol(
        name="synthetic",
        classes=classes,
        geometry=Geometry(window=size, stride=size, short_side=0),
        background=background,
        refinement=refinement,
    )
