"""Colours for classes and groups."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt8

VOID = (200, 200, 200)
"""The colour of pixels that are not judged."""
GREY = 64
"""All three channels of the background's colour."""
LONGEST = 256
"""So many colours are told apart; then they repeat."""


def voc_palette(count: int) -> UInt8[np.ndarray, "count 3"]:
    """The colours of the PASCAL VOC label images: bits of the label spread over the channels.

    Args:
      count: at most 256.

    Returns:
      RGB; the first is black.
    """
    labels = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return colours


def distinct_palette(count: int, *, background: bool = False) -> UInt8[np.ndarray, "count 3"]:
    """Colours that are as far from one another as a simple greedy search finds.

    The list for a smaller count is the beginning of that for a larger one.

    Args:
      count: how many; beyond `LONGEST` they repeat.
      background: whether the first is for the background: dark grey, outside the others.

    Returns:
      RGB, bright enough to be seen over a photograph.
    """
    colours = _distinct()[np.arange(count - background) % LONGEST]
    return np.concatenate([np.full((int(background), 3), GREY, np.uint8), colours])


@lru_cache(maxsize=1)
def _distinct() -> UInt8[np.ndarray, "n 3"]:
    """One fixed list of 256 colours, each as far as can be from all before it."""
    steps = np.linspace(16, 255, 9).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = _lab(candidates)
    chroma = np.linalg.norm(lab[:, 1:], axis=1)
    lively = (lab[:, 0] > 38) & (lab[:, 0] < 93) & (chroma > 32)
    candidates, lab = candidates[lively], lab[lively]
    order = [int(np.abs(candidates.astype(int) - [230, 60, 50]).sum(axis=1).argmin())]
    nearest = np.linalg.norm(lab - lab[order[0]], axis=1)
    while len(order) < LONGEST:
        order.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[order[-1]], axis=1))
    return candidates[order]


def _lab(rgb: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """CIE L*a*b* of sRGB colours, in which distance is close to visible difference."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    to_xyz = np.asarray(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1
    )


def colour_labels(
    labels: Int[np.ndarray, "h w"], palette: UInt8[np.ndarray, "count 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Paints every pixel in the colour of its label; labels beyond the palette in `VOID`."""
    known = (labels >= 0) & (labels < len(palette))
    colours = palette[np.where(known, labels, 0)]
    return np.where(known[..., None], colours, np.asarray(VOID, np.uint8))
