"""Separable resizing as matrices: one for the rows, one for the columns, computed on the host.

A resize is linear, so ``rows @ image @ columns.T`` is the whole operation: exact, differentiable
and one small program whatever the sizes. NumPy only.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Taps:
    """Linear interpolation along one axis: every new sample lies between two old ones.

    Attributes:
      low: the old sample before each new one.
      high: the one after it; the same at the ends.
      weight: how much of ``high`` there is in it, 0 to 1.
    """

    low: Int[np.ndarray, " o"]
    high: Int[np.ndarray, " o"]
    weight: Float[np.ndarray, " o"]


def linear_taps(size: int, new_size: int, *, align_corners: bool) -> Taps:
    """The taps of `linear_matrix`, which has the same arguments."""
    if align_corners:
        position = np.arange(new_size) * ((size - 1) / (new_size - 1) if new_size > 1 else 0.0)
    else:
        position = np.maximum((np.arange(new_size) + 0.5) * (size / new_size) - 0.5, 0.0)
    low = np.minimum(position.astype(int), size - 1)
    return Taps(low, np.minimum(low + 1, size - 1), position - low)


@lru_cache(maxsize=256)
def linear_matrix(size: int, new_size: int, *, align_corners: bool) -> Float[np.ndarray, "o i"]:
    """The matrix of linear interpolation along one axis, without antialiasing.

    Args:
      size: samples before.
      new_size: samples after.
      align_corners: whether the first and last samples keep their places; otherwise pixels are
        areas and their centres lie at half positions.

    Returns:
      A float32 matrix; each row sums to one.
    """
    taps = linear_taps(size, new_size, align_corners=align_corners)
    matrix = np.zeros((new_size, size))
    np.add.at(matrix, (np.arange(new_size), taps.low), 1.0 - taps.weight)
    np.add.at(matrix, (np.arange(new_size), taps.high), taps.weight)
    return _frozen(matrix)


@lru_cache(maxsize=256)
def cubic_matrix(size: int, new_size: int) -> Float[np.ndarray, "o i"]:
    """The matrix of cubic convolution (a = -0.75, half-pixel centres, edges clamped, no
    antialiasing).

    This is the bicubic resize that published vision transformers use for position embeddings;
    ``jax.image.resize`` has a = -0.5 and never agrees with it.

    Args:
      size: samples before.
      new_size: samples after.

    Returns:
      A float32 matrix; each row sums to one.
    """
    a = -0.75
    position = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    base = np.floor(position).astype(int)
    matrix = np.zeros((new_size, size))
    for tap in range(-1, 3):
        x = np.abs(position - (base + tap))
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        weight = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
        np.add.at(matrix, (np.arange(new_size), np.clip(base + tap, 0, size - 1)), weight)
    return _frozen(matrix)


def _frozen(matrix: np.ndarray) -> np.ndarray:
    matrix = matrix.astype(np.float32)
    matrix.setflags(write=False)  # the cache hands the same array to everyone
    return matrix
