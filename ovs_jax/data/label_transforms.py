"""Training transforms of images with label maps: resize, crop, colours, flip and padding.

Facts: the recipe of ZegFormer (section 4.1), which is that of per-mask segmentation in general.
Every step is a pure function of its arguments; `LabelRecipe` draws them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

PADDING = 128
"""What images are padded with before they are normalised."""
BRIGHTNESS = 32.0
CONTRAST = SATURATION = (0.5, 1.5)
HUE = 18
"""Half of the range of hues, of which 8-bit images have 180."""
_HUES = 180
SHORT_SIDES_512 = tuple(int(k * 0.1 * 512) for k in range(5, 21))
"""The shorter sides that PASCAL VOC and ADE20K-Full are trained with, at a size of 512."""


def short_edge_size(height: int, width: int, *, short: int, longest: int) -> tuple[int, int]:
    """The (height, width) of an image whose shorter side gets ``short`` pixels.

    Args:
      height: rows of the image.
      width: columns of the image.
      short: pixels of the shorter side, unless the longer one would exceed ``longest``.
      longest: the most pixels of the longer side.

    Raises:
      ValueError: a size is below 1.
    """
    sizes = {"height": height, "width": width, "short": short, "longest": longest}
    for field, value in sizes.items():
        if value < 1:
            raise ValueError(f"resize: expected {field} of at least 1 pixel, got {value}")
    scale = short / min(height, width)
    # The shorter side is exact before the longer one is limited.
    sides = (short, scale * width) if height < width else (scale * height, short)
    if max(sides) > longest:
        shrink = longest / max(sides)
        sides = (sides[0] * shrink, sides[1] * shrink)
    return max(int(sides[0] + 0.5), 1), max(int(sides[1] + 0.5), 1)


def resize_image(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Resizes bilinearly on 8 bits, with antialiasing where it shrinks, as Pillow does."""
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def resize_label(
    label: Int[np.ndarray, "h w"], size: tuple[int, int]
) -> Int[np.ndarray, "new_h new_w"]:
    """Takes for every new pixel the label at ``floor(position * old / new)``."""

    def places(old: int, new: int) -> np.ndarray:
        # In float32, as the published recipe rounds.
        scale = np.float32(old) / np.float32(new)
        return np.minimum(
            np.floor(np.arange(new, dtype=np.float32) * scale).astype(np.int64), old - 1
        )

    return label[places(label.shape[0], size[0])[:, None], places(label.shape[1], size[1])[None]]


def change_brightness(
    image: UInt8[np.ndarray, "h w 3"], amount: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Adds to every value."""
    return _linear(image, factor=1.0, offset=amount)


def change_contrast(image: UInt8[np.ndarray, "h w 3"], factor: float) -> UInt8[np.ndarray, "h w 3"]:
    """Multiplies every value."""
    return _linear(image, factor=factor, offset=0.0)


def change_saturation(
    image: UInt8[np.ndarray, "h w 3"], factor: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Multiplies the saturation, in 8 bits as OpenCV has it."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = _linear(np.asarray(hsv[..., 1:2], np.uint8), factor=factor, offset=0.0)[..., 0]
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def change_hue(image: UInt8[np.ndarray, "h w 3"], amount: int) -> UInt8[np.ndarray, "h w 3"]:
    """Turns the hue, in 180 steps a circle."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + amount) % _HUES
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _linear(
    image: UInt8[np.ndarray, "h w ch"], *, factor: float, offset: float
) -> UInt8[np.ndarray, "h w ch"]:
    changed = image.astype(np.float32) * np.float32(factor) + np.float32(offset)
    return np.clip(changed, 0, 255).astype(np.uint8)


def jitter_colours(
    image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Changes brightness, contrast, saturation and hue, each with probability a half.

    Contrast comes before the two or after them, at random (Liu et al., 2016, SSD).
    """

    def chance() -> bool:
        return bool(rng.random() < 0.5)

    def contrast(image: np.ndarray) -> np.ndarray:
        return change_contrast(image, rng.uniform(*CONTRAST)) if chance() else image

    if chance():
        image = change_brightness(image, rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast_first = chance()
    if contrast_first:
        image = contrast(image)
    if chance():
        image = change_saturation(image, rng.uniform(*SATURATION))
    if chance():
        image = change_hue(image, int(rng.integers(-HUE, HUE + 1)))
    return image if contrast_first else contrast(image)


@dataclass(frozen=True)
class LabelRecipe:
    """The published augmentation.

    Attributes:
      size: side of the square results, in pixels.
      short_sides: lengths that the shorter side is resized to, one drawn at random; all multiples
        of a tenth of ``size`` from a half to 1.5 of it (COCO-Stuff) if empty.
      longest: the most pixels of the longer side.
      jitter: whether colours are changed.
      flip: probability of a horizontal flip.
    """

    size: int = 640
    short_sides: tuple[int, ...] = ()
    longest: int = 2560
    jitter: bool = True
    flip: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"recipe.size: expected at least 1 pixel, got {self.size}")
        if any(side < 1 for side in self.short_sides) or self.longest < 1:
            raise ValueError(
                f"recipe: expected short_sides and longest of at least 1 pixel, got "
                f"{self.short_sides} and {self.longest}"
            )
        if not 0 <= self.flip <= 1:
            raise ValueError(f"recipe.flip: expected a probability of 0 to 1, got {self.flip}")

    @property
    def choices(self) -> tuple[int, ...]:
        """The lengths of the shorter side that are drawn from."""
        return self.short_sides or tuple(max(int(k * 0.1 * self.size), 1) for k in range(5, 16))

    def __call__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        label: Int[np.ndarray, "h w"],
        rng: np.random.Generator,
        *,
        ignored: int,
    ) -> tuple[UInt8[np.ndarray, "size size 3"], Int[np.ndarray, "size size"]]:
        """Draws one training example.

        Args:
          image: RGB pixels.
          label: of every pixel.
          rng: the only source of chance.
          ignored: the label that the padding gets.

        Returns:
          The pixels and their labels; what is missing at the bottom and on the right is padded.
        """
        choices = self.choices
        short = choices[int(rng.integers(len(choices)))]
        size = short_edge_size(*label.shape, short=short, longest=self.longest)
        image, label = resize_image(image, size), resize_label(label, size)
        top, left = (int(rng.integers(max(side - self.size, 0) + 1)) for side in size)
        window = (slice(top, top + self.size), slice(left, left + self.size))
        image, label = image[window], label[window]
        if self.jitter:
            image = jitter_colours(np.ascontiguousarray(image), rng)
        if rng.random() < self.flip:
            image, label = image[:, ::-1], label[:, ::-1]
        missing = [(0, self.size - side) for side in label.shape]
        image = np.pad(image, (*missing, (0, 0)), constant_values=PADDING)
        return image, np.pad(label, missing, constant_values=ignored)
