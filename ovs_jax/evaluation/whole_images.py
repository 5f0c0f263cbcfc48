"""Whole images as embeddings, for classification and retrieval."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from ovs_jax.data.transforms import normalize
from ovs_jax.evaluation.group_segmenter import GroupSegmenter

T = TypeVar("T")
BATCH = 64
"""Images that the model sees at a time."""


@dataclass(frozen=True)
class CenterCrop:
    """What the model sees of a photo: its centre.

    Attributes:
      short_side: pixels that the shorter side of the image gets.
      size: side of the square that is cut from its centre.
    """

    short_side: int
    size: int

    def __post_init__(self) -> None:
        if not 0 < self.size <= self.short_side:
            raise ValueError(
                f"crop: expected a square of 1 to {self.short_side} pixels (the short side), "
                f"got {self.size}"
            )

    @classmethod
    def usual(cls, size: int) -> "CenterCrop":
        """The one of most classifications: a short side of 256 for a square of 224."""
        return cls(round(size * 256 / 224), size)

    def __str__(self) -> str:
        """What it does, for reports."""
        return f"short side {self.short_side}, bicubic with antialiasing, centre {self.size}"

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "size size 3"]:
        """The normalised square."""
        height, width = image.shape[:2]
        scale = self.short_side / min(height, width)
        rows, cols = (max(int(side * scale), self.short_side) for side in (height, width))
        top, left = (round((side - self.size) / 2) for side in (rows, cols))
        # Only what is kept is computed: a long panorama costs no more than a square.
        across, down = width / cols, height / rows
        right, bottom = min((left + self.size) * across, width), (top + self.size) * down
        box = (left * across, top * down, right, min(bottom, height))
        square = Image.fromarray(image).resize(
            (self.size, self.size), Image.Resampling.BICUBIC, box=box
        )
        return normalize(np.asarray(square))


@dataclass(frozen=True)
class Seen(Generic[T]):
    """An image, ready for the model.

    Attributes:
      pixels: normalised.
      extra: whatever the caller wants to find beside the embedding.
    """

    pixels: Float[np.ndarray, "size size 3"]
    extra: T


def embed(
    segmenter: GroupSegmenter, images: Iterable[Seen[T]], *, batch_size: int
) -> Iterator[tuple[Float[np.ndarray, "b e"], list[T]]]:
    """Embeds images in batches, the last of which is filled up.

    Args:
      segmenter: the model.
      images: any number, taken as they are needed.
      batch_size: images that the device sees at a time.

    Yields:
      Embeddings of length one, and what came beside the images.
    """
    waiting: list[Seen[T]] = []

    def embedded() -> tuple[np.ndarray, list[T]]:
        pixels = np.zeros((batch_size, *waiting[0].pixels.shape), np.float32)
        pixels[: len(waiting)] = [image.pixels for image in waiting]
        extras = [image.extra for image in waiting]
        return segmenter.embed_images(pixels)[: len(waiting)], extras

    for image in images:
        waiting.append(image)
        if len(waiting) == batch_size:
            yield embedded()
            waiting.clear()
    if waiting:
        yield embedded()
