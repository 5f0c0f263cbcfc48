"""Textures: fields in [0, 1] that mix a class's two colours.

Every field is a function of pixel coordinates measured in periods of the texture, so that a
pattern looks the same at every image size. Irregular ones (fur, blades, clouds …) are windows of
noise made once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float

REFERENCE_SIZE = 64
"""The image size at which lengths of the catalogue are in pixels."""
_BANK = 192


@dataclass(frozen=True)
class Surface:
    """How a texture lies on one object or region.

    Attributes:
      texture: name of a texture, a key of `TEXTURES` or `NOISES`.
      period: length of one repetition in pixels at `REFERENCE_SIZE`.
      angle: rotation in radians.
      phase: shift along the two axes, in periods; also the window of irregular textures, in [0, 1).
    """

    texture: str
    period: float
    angle: float
    phase: tuple[float, float]


Plane = Float[np.ndarray, "h w"]


def _triangle(t: Plane) -> Plane:
    """A triangle wave of period 1 between -1 and 1, cheaper than a sine."""
    return np.abs((t - np.floor(t)) * 4 - 2) - 1


def _sharp(t: Plane, steepness: float = 2.0) -> Plane:
    return np.clip(0.5 + steepness * t, 0.0, 1.0)


def _lattice(u: Plane, v: Plane) -> tuple[Plane, Plane]:
    """Offsets from the centres of a lattice whose every second row is shifted by half a cell."""
    row = np.floor(v)
    u = u + 0.5 * (row - 2 * np.floor(row / 2))
    return u - np.floor(u) - 0.5, v - row - 0.5


def _stripes(u: Plane, v: Plane) -> Plane:
    return _sharp(_triangle(u + 0.12 * _triangle(v * 0.3)))


def _tabby(u: Plane, v: Plane) -> Plane:
    return _sharp(_triangle(u + 0.3 * _triangle(v * 0.5)) - 0.35)


def _bands(u: Plane, v: Plane) -> Plane:
    return _sharp(_triangle(v), 3.0)


def _zigzag(u: Plane, v: Plane) -> Plane:
    return _sharp(_triangle(v + 0.35 * _triangle(u)))


def _checks(u: Plane, v: Plane) -> Plane:
    return _sharp(_triangle(u * 0.5) * _triangle(v * 0.5), 5.0)


def _dots(u: Plane, v: Plane) -> Plane:
    du, dv = _lattice(u, v)
    return _sharp(0.09 - du * du - dv * dv, 12.0)


def _curls(u: Plane, v: Plane) -> Plane:
    du, dv = _lattice(u, v)
    return _sharp(0.12 - np.abs(np.sqrt(du * du + dv * dv) - 0.36), 8.0)


def _scales(u: Plane, v: Plane) -> Plane:
    du, dv = _lattice(u, v)
    return _sharp(0.13 - np.abs(np.sqrt(du * du + (dv + 0.5) ** 2) - 0.62), 8.0)


def _cells(u: Plane, v: Plane) -> Plane:
    du, dv = _lattice(u + 0.15 * _triangle(v * 0.7), v + 0.15 * _triangle(u * 0.6))
    return _sharp(0.37 - np.maximum(np.abs(du), np.abs(dv)), 9.0)


def _bricks(u: Plane, v: Plane) -> Plane:
    du, dv = _lattice(u * 0.5, v)
    return _sharp(np.maximum(np.abs(du) * 2 - 0.5, np.abs(dv)) - 0.38, 9.0)


def _windows(u: Plane, v: Plane) -> Plane:
    du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return _sharp(0.31 - np.maximum(np.abs(du), np.abs(dv)), 9.0)


def _plaid(u: Plane, v: Plane) -> Plane:
    return 0.5 * _sharp(_triangle(u), 3.0) + 0.5 * _sharp(_triangle(v), 3.0)


def _lines(u: Plane, v: Plane) -> Plane:
    return _sharp(_triangle(v) - 0.4, 3.0)


def _waves(u: Plane, v: Plane) -> Plane:
    swell = _triangle(u * 0.17)
    swell = swell * (1.5 - 0.5 * swell * swell)  # rounds the corners of the wave
    return 0.5 + 0.5 * _triangle(v + 0.45 * swell)


def _blotches(u: Plane, v: Plane) -> Plane:
    waves = _triangle(u) + _triangle(v * 0.83 + 0.4 * u) + _triangle(0.7 * v - 0.6 * u)
    return _sharp(waves - 0.1, 3.0)


def _rings(x: Plane, y: Plane) -> Plane:
    return _sharp(_triangle(np.sqrt(x * x + y * y)), 3.0)


def _wedges(x: Plane, y: Plane) -> Plane:
    return _sharp(_triangle(np.arctan2(y, x) * (5 / math.pi)), 5.0)


TEXTURES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "stripes": _stripes,
    "tabby": _tabby,
    "bands": _bands,
    "zigzag": _zigzag,
    "checks": _checks,
    "dots": _dots,
    "curls": _curls,
    "scales": _scales,
    "cells": _cells,
    "bricks": _bricks,
    "windows": _windows,
    "plaid": _plaid,
    "lines": _lines,
    "waves": _waves,
    "blotches": _blotches,
    "rings": _rings,
    "wedges": _wedges,
}
"""Regular textures, functions of the two coordinates in periods."""
_CENTRED = frozenset({"rings", "wedges"})

NOISES: dict[str, tuple[float, float, float]] = {
    "fur": (2.6, 0.7, 0.3),
    "blades": (0.6, 2.6, 0.3),
    "planks": (6.0, 0.8, 0.3),
    "speckle": (0.7, 0.7, 0.28),
    "pebbles": (1.9, 1.9, 0.45),
    "clouds": (7.0, 4.0, 0.3),
    "flakes": (0.0, 0.0, 1.7),
    "sprinkles": (0.0, 0.0, 1.9),
}
"""Irregular textures: blur along x and along y in pixels, and contrast. Flakes and sprinkles are
sparse marks instead, where the noise exceeds the last number."""
_SPARSE = {
    "flakes": np.ones((2, 2), np.uint8),
    "sprinkles": np.array([[1, 0], [1, 1]], np.uint8),
}


@cache
def _bank(texture: str, size: int) -> Plane:
    """A large window of an irregular texture for images of `size` pixels, the same in every run."""
    blur_x, blur_y, contrast = NOISES[texture]
    # One texture may not be a shifted copy of another, hence a seed for each.
    rng = np.random.default_rng(sum(texture.encode()))
    noise = rng.standard_normal((_BANK, _BANK), dtype=np.float32)
    if texture in _SPARSE:
        noise = cv2.dilate((noise > contrast).astype(np.float32), _SPARSE[texture])
    else:
        noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=blur_x, sigmaY=blur_y)
        noise = (noise - noise.mean()) / noise.std() * contrast + 0.5
    side = math.ceil(_BANK * size / REFERENCE_SIZE)
    field = cv2.resize(noise, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.asarray(field, np.float32), 0.0, 1.0)


def pixel_noise(size: int, *, phase: tuple[float, float]) -> Float[np.ndarray, "size size 3"]:
    """Standard normal noise for an image, a window of a larger field that is made once."""
    bank = _pixel_noise_bank(2 * size)
    top, left = (int(p * size) for p in phase)
    return bank[top : top + size, left : left + size]


@cache
def _pixel_noise_bank(side: int) -> Float[np.ndarray, "side side 3"]:
    return np.random.default_rng(0).standard_normal((side, side, 3), dtype=np.float32)


def texture_field(
    surface: Surface, box: tuple[int, int, int, int], *, centre: tuple[float, float], size: int
) -> Plane:
    """The mixing field of a texture over a box of pixels.

    Args:
      surface: the texture and how it lies.
      box: (left, top, right, bottom) in pixels.
      centre: (x, y) in pixels that the texture is anchored at.
      size: side of the whole image, which sets the scale.

    Returns:
      Float32 in [0, 1] of the size of the box: 0 is the first colour, 1 the second.
    """
    left, top, right, bottom = box
    if surface.texture in NOISES:
        bank = _bank(surface.texture, size)
        y = int(surface.phase[0] * (bank.shape[0] - (bottom - top)))
        x = int(surface.phase[1] * (bank.shape[1] - (right - left)))
        return bank[y : y + bottom - top, x : x + right - left]
    period = surface.period * size / REFERENCE_SIZE
    x = (np.arange(left, right, dtype=np.float32)[None, :] + (0.5 - centre[0])) / period
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] + (0.5 - centre[1])) / period
    cos, sin = math.cos(surface.angle), math.sin(surface.angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    if surface.texture not in _CENTRED:
        u, v = u + surface.phase[0], v + surface.phase[1]
    return TEXTURES[surface.texture](u, v)
