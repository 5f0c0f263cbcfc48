"""The result of segmenting one image, and how it is shown and stored."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from ovs_jax.evaluation.files import write_together
from ovs_jax.viz.groups import draw_groups
from ovs_jax.viz.overlay import overlay
from ovs_jax.viz.palette import distinct_palette


@dataclass(frozen=True)
class Segmentation:
    """What was found in an image.

    Attributes:
      labels: for every pixel the number of its class in ``classes``.
      confidence: the score of that class, the background's being 1.
      groups: for every pixel the group that the model put it in, whatever it is called; window by
        window.
      scores: for every pixel the scores of all classes; None if they were not asked for.
      classes: the names, with ``background`` first if there is one.
      image: the pixels that were segmented.
      has_background: whether class 0 is the background.
    """

    labels: Int[np.ndarray, "h w"]
    confidence: Float[np.ndarray, "h w"]
    groups: Int[np.ndarray, "h w"]
    scores: Float[np.ndarray, "c h w"] | None = field(repr=False)
    classes: tuple[str, ...]
    image: UInt8[np.ndarray, "h w 3"] = field(repr=False)
    has_background: bool

    @property
    def palette(self) -> UInt8[np.ndarray, "c 3"]:
        """One colour a class, as in every picture of this result."""
        return distinct_palette(len(self.classes), background=self.has_background)

    def draw(self, *, opacity: float = 0.55) -> UInt8[np.ndarray, "h2 w2 3"]:
        """The image with its classes in colour, named, and with a legend; see `viz.overlay`."""
        return overlay(
            self.image,
            self.labels,
            self.classes,
            palette=self.palette,
            has_background=self.has_background,
            opacity=opacity,
        )

    def draw_groups(self) -> UInt8[np.ndarray, "h w 3"]:
        """The image with its groups in colour."""
        return draw_groups(self.image, self.groups)

    def summary(self) -> dict[str, Any]:
        """How much of the image each class has and how sure the model is, ready for JSON."""
        height, width = self.labels.shape
        pixels = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        sums = np.bincount(
            self.labels.ravel(), self.confidence.ravel(), minlength=len(self.classes)
        )
        return {
            "height": height,
            "width": width,
            "classes": [
                {
                    "id": i,
                    "name": name,
                    "colour": [int(c) for c in self.palette[i]],
                    "pixels": int(pixels[i]),
                    "share": float(pixels[i] / self.labels.size),
                    "mean_score": float(sums[i] / pixels[i]) if pixels[i] else None,
                }
                for i, name in enumerate(self.classes)
            ],
        }

    def save(self, folder: str | Path, *, name: str) -> tuple[Path, Path, Path]:
        """Writes ``NAME_overlay.png``, ``NAME_labels.png`` and ``NAME.json``, all or none.

        The label image is a palette PNG whose pixel values are class numbers (16-bit grey beyond
        256 classes).

        Args:
          folder: made if missing.
          name: what the files are called.

        Returns:
          The three paths.

        Raises:
          OSError: if something cannot be written; nothing is left behind then.
        """
        folder = Path(folder)
        paths = (
            folder / f"{name}_overlay.png",
            folder / f"{name}_labels.png",
            folder / f"{name}.json",
        )
        contents = {
            "image": name,
            "overlay": paths[0].name,
            "labels": paths[1].name,
            **self.summary(),
        }
        write_together(
            {
                paths[0]: png(Image.fromarray(self.draw())),
                paths[1]: png(self._label_image()),
                paths[2]: (json.dumps(contents, indent=1, ensure_ascii=False) + "\n").encode(),
            }
        )
        return paths

    def _label_image(self) -> Image.Image:
        if len(self.classes) > 256:
            return Image.fromarray(self.labels.astype(np.uint16))
        image = Image.fromarray(self.labels.astype(np.uint8)).convert("P")
        image.putpalette(self.palette.tobytes())
        return image


def png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
