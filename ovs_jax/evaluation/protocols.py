"""Named sets of choices under which scores are comparable.

A protocol holds every choice that changes a score, and is printed in full beside it. Scores of
different protocols never share a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ovs_jax.evaluation.painting import TOP_CLASSES
from ovs_jax.evaluation.segmenter import TEMPLATES
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.mapping import lookup
from ovs_jax.text.class_sets import class_set
from ovs_jax.typing import ClassSet


@dataclass(frozen=True)
class Protocol:
    """Everything that decides a score but the model and the images.

    Attributes:
      name: the preset.
      classes: the class list, in the order of the evaluated labels.
      geometry: image size, window and stride.
      templates: prompts of a class; its embedding is the mean over them.
      background: groups whose best class scores below ``min(background, best score of any group of
        the window)`` are background; None where the list has none.
      ignore_label: stored label of pixels that are not judged.
      zero_label: ``drop`` where the stored label 0 means "other" and is not judged; 1 is then the
        first class.
      outside_labels: whether a stored label that names no class is an ``error`` or enters only the
        union of what is predicted there (``count``, as the published metric has it).
    """

    name: str
    classes: ClassSet
    geometry: Geometry = field(default_factory=Geometry)
    templates: tuple[str, ...] = TEMPLATES
    background: float | None = None
    ignore_label: int = 255
    zero_label: Literal["keep", "drop"] = "keep"
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

    def choices(self) -> dict[str, Any]:
        """Every choice in words and numbers, ready to be printed or stored."""
        geometry, background = self.geometry, self.background
        resize = f"short side {geometry.short_side}, long side at most {geometry.long_side}"
        return {
            "protocol": f"{self.name}/{self.classes.name}",
            "classes": len(self.classes),
            "resize": f"{resize}, bilinear on 8 bits" if geometry.short_side else "none",
            "window": geometry.window,
            "stride": geometry.stride,
            "prompts": list(self.templates),
            "group scores": f"softmax over all classes x softmax over the {TOP_CLASSES} that rank "
            "best for the whole image",
            "background": "none"
            if background is None
            else f"class score below min({background:g}, best of any group)",
            "pixels": "best group after bilinear resize of the maps",
            "windows": "averaged, then resized bilinearly to the original size",
            "ignored label": self.ignore_label,
            "label 0": "not judged" if self.zero_label == "drop" else "the first class",
            "labels of no class": "an error"
            if self.outside_labels == "error"
            else "only in the union of what is predicted there",
        }


_THRESHOLDS: Mapping[str, Mapping[str, float | None]] = {
    "groupvit": {"voc21": 0.95, "context60": 0.35, "coco_object81": 0.95},
    "ovsegmentor": {
        "voc21": 0.95,
        "context60": 0.35,
        "coco_object81": 0.9,
        "coco_stuff_ovsegmentor": 0.95,
        "ade150": None,
    },
}
_DROPPED_ZERO = frozenset({"ade150"})


def protocol_names() -> tuple[str, ...]:
    """Every published protocol as ``preset/dataset``."""
    return tuple(f"{preset}/{data}" for preset, sets in _THRESHOLDS.items() for data in sets)


def protocol(preset: str, dataset: str) -> Protocol:
    """A published protocol.

    Args:
      preset: ``groupvit`` or ``ovsegmentor``; they share everything but thresholds.
      dataset: the class list, such as ``voc21``.

    Raises:
      ValueError: an unknown preset, or one that was never used on this class list.
    """
    sets = lookup(_THRESHOLDS, preset, what="protocol preset")
    background = lookup(sets, dataset, what=f"data set of protocol preset '{preset}'")
    return Protocol(
        name=preset,
        classes=class_set(dataset),
        background=background,
        zero_label="drop" if dataset in _DROPPED_ZERO else "keep",
    )


def synthetic_protocol(
    classes: ClassSet, *, size: int, background: float | None = None
) -> Protocol:
    """The protocol of the synthetic world: one window a scene, at its own size.

    Args:
      classes: of the source: all classes, or the objects after a background.
      size: side of the scenes in pixels.
      background: the threshold where the list has a background.
    """
    return Protocol(
        name="synthetic",
        classes=classes,
        geometry=Geometry(window=size, stride=size, short_side=0),
        background=background,
    )
