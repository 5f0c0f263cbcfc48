"""The fifteen image operations of RandAugment, on 8-bit RGB images with Pillow.

Names, arguments and order are those of timm's policy ``rand-m9-mstd0.5-inc1``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps

Resample = Literal["bilinear", "bicubic"]

FILL = (124, 116, 104)
"""The mean colour, put where a shifted image leaves nothing."""
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


# --- the operations: functions of (image, argument, resampling filter) ---


def _affine(
    image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling
) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=FILL
    )


def _rotate(image: Image.Image, degrees: float, resample: Image.Resampling) -> Image.Image:
    return image.rotate(degrees, resample=resample, fillcolor=FILL)


def _shear_x(image: Image.Image, factor: float, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1.0, factor, 0.0, 0.0, 1.0, 0.0), resample)


def _shear_y(image: Image.Image, factor: float, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1.0, 0.0, 0.0, factor, 1.0, 0.0), resample)


def _translate_x(image: Image.Image, share: float, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1.0, 0.0, share * image.width, 0.0, 1.0, 0.0), resample)


def _translate_y(image: Image.Image, share: float, resample: Image.Resampling) -> Image.Image:
    return _affine(image, (1.0, 0.0, 0.0, 0.0, 1.0, share * image.height), resample)


def _posterize(image: Image.Image, bits: float, _: Image.Resampling) -> Image.Image:
    # Not ImageOps.posterize: it refuses 0 bits, which magnitude 10 asks for and which means black.
    keep = 256 - 2 ** (8 - min(int(bits), 8))
    return image.point([value & keep for value in range(256)] * 3)


def _solarize(image: Image.Image, threshold: float, _: Image.Resampling) -> Image.Image:
    return ImageOps.solarize(image, int(threshold))


def _solarize_add(image: Image.Image, amount: float, _: Image.Resampling) -> Image.Image:
    table = [min(255, value + int(amount)) if value < 128 else value for value in range(256)]
    return image.point(table * 3)


def _color(image: Image.Image, factor: float, _: Image.Resampling) -> Image.Image:
    return ImageEnhance.Color(image).enhance(factor)


def _contrast(image: Image.Image, factor: float, _: Image.Resampling) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


def _brightness(image: Image.Image, factor: float, _: Image.Resampling) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _sharpness(image: Image.Image, factor: float, _: Image.Resampling) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(factor)


# --- from a level in [0, 1] and a random sign to the argument ---


def _enhancement(level: float, sign: float) -> float:
    return max(0.1, 1.0 + sign * 0.9 * level)


@dataclass(frozen=True)
class Operation:
    """One operation of RandAugment.

    Attributes:
      apply: (image, argument, resampling filter) → image.
      argument: (level in [0, 1], sign of -1 or 1) → argument; None if the operation takes none.
      geometric: whether it resamples, and so draws a filter at random.
    """

    apply: Callable[[Image.Image, float, Image.Resampling], Image.Image]
    argument: Callable[[float, float], float] | None = None
    geometric: bool = False


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "AutoContrast": Operation(lambda image, *_: ImageOps.autocontrast(image)),
        "Equalize": Operation(lambda image, *_: ImageOps.equalize(image)),
        "Invert": Operation(lambda image, *_: ImageOps.invert(image)),
        "Rotate": Operation(_rotate, lambda level, sign: sign * 30.0 * level, geometric=True),
        "PosterizeIncreasing": Operation(_posterize, lambda level, _: 4.0 - int(4 * level)),
        "SolarizeIncreasing": Operation(_solarize, lambda level, _: 256.0 - int(256 * level)),
        "SolarizeAdd": Operation(
            _solarize_add, lambda level, _: min(128.0, float(int(110 * level)))
        ),
        "ColorIncreasing": Operation(_color, _enhancement),
        "ContrastIncreasing": Operation(_contrast, _enhancement),
        "BrightnessIncreasing": Operation(_brightness, _enhancement),
        "SharpnessIncreasing": Operation(_sharpness, _enhancement),
        "ShearX": Operation(_shear_x, lambda level, sign: sign * 0.3 * level, geometric=True),
        "ShearY": Operation(_shear_y, lambda level, sign: sign * 0.3 * level, geometric=True),
        "TranslateXRel": Operation(
            _translate_x, lambda level, sign: sign * 0.45 * level, geometric=True
        ),
        "TranslateYRel": Operation(
            _translate_y, lambda level, sign: sign * 0.45 * level, geometric=True
        ),
    }
)
"""The operations of the policy by timm's names, in timm's order."""


def apply_operation(
    name: str,
    image: UInt8[np.ndarray, "h w 3"],
    argument: float | None = None,
    *,
    resample: Resample = "bilinear",
) -> UInt8[np.ndarray, "h w 3"]:
    """Applies one operation of `OPERATIONS` with a given argument.

    Args:
      name: a key of `OPERATIONS`, such as ``"Rotate"``.
      image: RGB pixels.
      argument: degrees, bits, threshold, factor or share of the side, as the operation takes it;
        None for the three that take none.
      resample: the filter of geometric operations; others ignore it.

    Returns:
      The changed image, of the same size.

    Raises:
      ValueError: if the name or the filter is unknown, or the argument is missing or superfluous.
    """
    if name not in OPERATIONS:
        raise ValueError(f"RandAugment: expected one of {', '.join(OPERATIONS)}, got '{name}'")
    if resample not in _FILTERS:
        raise ValueError(f"{name}: expected resample 'bilinear' or 'bicubic', got '{resample}'")
    operation = OPERATIONS[name]
    if (argument is None) != (operation.argument is None):
        expected = "no argument" if operation.argument is None else "an argument"
        raise ValueError(f"{name}: expected {expected}, got {argument}")
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(operation.apply(picture, argument or 0.0, _FILTERS[resample]))
