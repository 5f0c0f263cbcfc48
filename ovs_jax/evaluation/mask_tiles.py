"""Which part of the mask logits a part of the result is made of, and the matrices between them.

Masks are resized twice: their logits to the image that the model saw, padding included, and what
they become there, padding cut off, to the original image. Both resizes are separable and local, so
a tile of the result needs a small window of the logits and four small matrices. They are computed
on the host and have the same shapes for all images. NumPy only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ovs_jax.interpolation import Taps, linear_taps

TILE = 64
"""Side of a tile of the result, and of the part of the seen image that it is made of, in pixels."""


@dataclass(frozen=True)
class Span:
    """A tile's place along one axis.

    Attributes:
      start: its first pixel in the result.
      count: how many of its pixels lie in the result.
      cell: the first of the mask logits that it needs.
      up: from those logits to a part of the seen image.
      out: from there to the pixels of the tile; no weight where there is none.
    """

    start: int
    count: int
    cell: int
    up: Float[np.ndarray, "k m"]
    out: Float[np.ndarray, "o k"]

    @property
    def inside(self) -> slice:
        """Its pixels in the result."""
        return slice(self.start, self.start + self.count)


def spans(cells: int, *, padded: int, size: int, new_size: int, tile: int = TILE) -> Iterator[Span]:
    """Cuts one axis of the result into tiles.

    Args:
      cells: mask logits along it.
      padded: pixels of the image that the model saw.
      size: how many of those are no padding.
      new_size: pixels of the result.
      tile: pixels of a tile at most, at either end.

    Yields:
      Tiles that together are the result, in order.
    """
    up = linear_taps(cells, padded, align_corners=False)
    out = linear_taps(size, new_size, align_corners=False)
    # Between the first and the last pixel of n in the result lie (n - 1) * size / new_size of the
    # seen image; two more are the neighbours that they are interpolated from.
    count = min(tile, max(int((tile - 2) * new_size / size), 1))
    window = -(-tile * cells // padded) + 2
    for start in range(0, new_size, count):
        rows = np.arange(start, min(start + count, new_size))
        first = int(out.low[rows[0]])
        pixels = np.arange(first, min(first + tile, padded))
        cell = int(up.low[pixels[0]])
        yield Span(
            start=start,
            count=len(rows),
            cell=cell,
            up=_part(up, pixels, first=cell, shape=(tile, window)),
            out=_part(out, rows, first=first, shape=(tile, tile)),
        )


def _part(
    taps: Taps, rows: np.ndarray, *, first: int, shape: tuple[int, int]
) -> Float[np.ndarray, "o i"]:
    """Some rows of the matrix of an interpolation, the columns counted from ``first``."""
    matrix = np.zeros(shape, np.float32)
    places = np.arange(len(rows))
    weight = taps.weight[rows].astype(np.float32)
    np.add.at(matrix, (places, taps.low[rows] - first), 1.0 - weight)
    np.add.at(matrix, (places, taps.high[rows] - first), weight)
    return matrix
