"""The image augmentation of both recipes: crop, flip, RandAugment and erasing.

Every step is a frozen dataclass called as ``step(image, rng)``: all randomness comes from the
generator of the call, so an image and a seed fix the result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ovs_jax.data.images import Photo, take_part
from ovs_jax.data.operations import OPERATIONS, Resample, apply_operation
from ovs_jax.data.transforms import normalize, resize_antialiased

__all__ = [
    "OPERATIONS",
    "HorizontalFlip",
    "RandAugment",
    "RandomErasing",
    "RandomResizedCrop",
    "Recipe",
    "apply_operation",
    "stage1_augmentation",
    "stage2_augmentation",
]

Step = Callable[[UInt8[np.ndarray, "h w 3"], np.random.Generator], UInt8[np.ndarray, "h w 3"]]

MAXIMUM_MAGNITUDE = 10.0
_RESAMPLES: tuple[Resample, ...] = ("bilinear", "bicubic")


@dataclass(frozen=True)
class RandAugment:
    """Two random operations at nearly full strength, timm's ``rand-m9-mstd0.5-inc1``.

    Attributes:
      operations: how many are drawn, uniformly and with replacement.
      probability: the chance that a drawn operation is applied.
      magnitude: mean of the normal distribution that the magnitude comes from, clipped to [0, 10].
      magnitude_deviation: its standard deviation.
    """

    operations: int = 2
    probability: float = 0.5
    magnitude: float = 9.0
    magnitude_deviation: float = 0.5

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the augmented image, of the same size."""
        names = list(OPERATIONS)
        for name in [names[i] for i in rng.integers(len(names), size=self.operations)]:
            if rng.random() >= self.probability:
                continue
            draw = rng.normal(self.magnitude, self.magnitude_deviation)
            level = float(np.clip(draw, 0.0, MAXIMUM_MAGNITUDE)) / MAXIMUM_MAGNITUDE
            sign = -1.0 if rng.random() < 0.5 else 1.0
            make_argument = OPERATIONS[name].argument
            argument = None if make_argument is None else make_argument(level, sign)
            resample = _RESAMPLES[rng.integers(2)] if OPERATIONS[name].geometric else "bilinear"
            image = apply_operation(name, image, argument, resample=resample)
        return image


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the image, scaled to a square.

    Area and aspect are drawn up to ten times until the part fits; otherwise the largest centred
    part with an allowed aspect is taken. Images smaller than `size` are enlarged.

    Attributes:
      size: side of the result in pixels.
      scale: least and greatest share of the image's area.
      ratio: least and greatest width / height of the part, drawn log-uniformly.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"RandomResizedCrop: expected size of at least 1, got {self.size}")

    def box(
        self, height: int, width: int, *, rng: np.random.Generator
    ) -> tuple[int, int, int, int]:
        """Draws the part of an image of this size, as (left, top, right, bottom) in pixels."""
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = rng.uniform(*self.scale) * height * width
            ratio = math.exp(rng.uniform(low, high))
            columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < columns <= width and 0 < rows <= height:
                left = int(rng.integers(width - columns + 1))
                top = int(rng.integers(height - rows + 1))
                return left, top, left + columns, top + rows
        columns = min(width, round(height * self.ratio[1]))
        rows = min(height, round(width / self.ratio[0]))
        left, top = (width - columns) // 2, (height - rows) // 2
        return left, top, left + columns, top + rows

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"] | Photo, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Returns the part, scaled bilinearly with antialiasing."""
        box = self.box(*image.shape[:2], rng=rng)
        part = take_part(image, box, least=self.size)
        return resize_antialiased(part, self.size, self.size)


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirrors the image left to right with a probability."""

    probability: float = 0.5

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the image or its mirror image."""
        if rng.random() < self.probability:
            return np.asarray(cv2.flip(image, 1), np.uint8)
        return image


@dataclass(frozen=True)
class RandomErasing:
    """Replaces one rectangle of a NORMALISED image by standard normal noise per pixel and channel.

    Attributes:
      probability: the chance that anything is erased.
      area: least and greatest share of the image's area.
      ratio: least and greatest height / width, drawn log-uniformly.
    """

    probability: float = 0.25
    area: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)

    def __call__(
        self, image: Float[np.ndarray, "h w 3"], rng: np.random.Generator
    ) -> Float[np.ndarray, "h w 3"]:
        """Returns the image, or a copy with one region erased if one fits within ten tries."""
        if rng.random() >= self.probability:
            return image
        height, width = image.shape[:2]
        for _ in range(10):
            area = rng.uniform(*self.area) * height * width
            ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < rows < height and 0 < columns < width:
                top = int(rng.integers(height - rows + 1))
                left = int(rng.integers(width - columns + 1))
                erased = image.copy()
                noise = rng.standard_normal((rows, columns, 3), dtype=np.float32)
                erased[top : top + rows, left : left + columns] = noise
                return erased
        return image


@dataclass(frozen=True)
class Recipe:
    """A crop, steps on 8-bit pixels, and erasing.

    Attributes:
      crop: what is taken of the image.
      steps: applied to it in order.
      erasing: applied last, to the normalised image; None for none, and then the pixels stay 8-bit,
        a quarter of the bytes, until the step normalises them.
    """

    crop: RandomResizedCrop
    steps: tuple[Step, ...]
    erasing: RandomErasing | None = None

    @property
    def dtype(self) -> type[np.generic]:
        """Of the results."""
        return np.uint8 if self.erasing is None else np.float32

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"] | Photo, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "size size 3"] | Float[np.ndarray, "size size 3"]:
        """Returns the augmented pixels; with erasing, normalised and as float32.

        Args:
          image: RGB pixels of any size, or a photograph that is not decoded yet.
          rng: the only source of randomness.
        """
        pixels = self.crop(image, rng)
        for step in self.steps:
            pixels = step(pixels, rng)
        return pixels if self.erasing is None else self.erasing(normalize(pixels), rng)


def stage1_augmentation(size: int) -> Recipe:
    """The recipe of GroupViT and of OVSegmentor's first stage, giving images of size x size pixels.

    Crop of 8 to 100 % of the area, flip, RandAugment, erasing with probability 0.25. RandAugment
    stands in the place of colour jitter, as in timm.
    """
    return Recipe(RandomResizedCrop(size), (HorizontalFlip(), RandAugment()), RandomErasing())


def stage2_augmentation(size: int) -> Recipe:
    """The recipe of OVSegmentor's second stage: crop of 40 to 100 % of the area and flip only."""
    return Recipe(RandomResizedCrop(size, scale=(0.4, 1.0)), (HorizontalFlip(),))
