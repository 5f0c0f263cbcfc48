"""Where sliding windows lie, and the matrices that carry them to the original size.

Windows form a grid: each is a row interval times a column interval, and so is the number of windows
that cover a pixel. Averaging the windows and resizing the average to the original size is therefore
``sum over windows of rows @ window @ columns.T`` with two small matrices a window. They are
computed on the host, so one compiled program serves images of every size. NumPy only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ovs_jax.data.transforms import keep_ratio_size, normalize, resize_keep_ratio
from ovs_jax.interpolation import linear_matrix


@dataclass(frozen=True)
class Geometry:
    """The size at which an image is looked at, and through which windows.

    Attributes:
      window: side of a window in pixels, a multiple of the model's patch size.
      stride: distance of neighbouring windows in pixels.
      short_side: pixels that the shorter side of the image gets, unless the longer would exceed
        ``long_side``; 0 leaves images as they are.
      long_side: the most pixels that the longer side may get.
    """

    window: int = 448
    stride: int = 224
    short_side: int = 448
    long_side: int = 2048

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.window:
            raise ValueError(
                f"geometry.stride: expected 1 to the window's {self.window} pixels, "
                f"got {self.stride}"
            )
        if self.short_side and not 0 < self.short_side <= self.long_side:
            raise ValueError(
                f"geometry.short_side: expected 0 (no resize) or 1 to long_side {self.long_side}, "
                f"got {self.short_side}"
            )

    def resized(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "new_h new_w 3"]:
        """The image at the size at which it is looked at."""
        if not self.short_side:
            return image
        return resize_keep_ratio(image, short_side=self.short_side, long_side=self.long_side)

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that an image of this height and width gets."""
        if not self.short_side:
            return height, width
        return keep_ratio_size(height, width, short_side=self.short_side, long_side=self.long_side)


@dataclass(frozen=True)
class Windows:
    """An image, ready for the model.

    Attributes:
      pixels: its normalised windows.
      size: (height, width) at which it is looked at.
      new_size: (height, width) of the result.
      geometry: how it was cut.
      extra: whatever the caller wants to find beside the result.
    """

    pixels: Float[np.ndarray, "k window window 3"]
    size: tuple[int, int]
    new_size: tuple[int, int]
    geometry: Geometry
    extra: Any = None


def prepare(image: UInt8[np.ndarray, "h w 3"], geometry: Geometry, *, extra: Any = None) -> Windows:
    """Resizes, normalises and cuts an image on the host; safe to call in threads."""
    resized = geometry.resized(image)
    return Windows(
        pixels=cut_windows(normalize(resized), geometry),
        size=(resized.shape[0], resized.shape[1]),
        new_size=(image.shape[0], image.shape[1]),
        geometry=geometry,
        extra=extra,
    )


def window_starts(size: int, *, window: int, stride: int) -> tuple[int, ...]:
    """First pixels of the windows along one axis (facts on evaluation, section 1).

    Windows follow one another at ``stride``; the last is moved back so that it ends with the image.
    An image smaller than a window has one window, which it does not fill.
    """
    count = max(size - window + stride - 1, 0) // stride + 1
    return tuple(max(min(i * stride, size - window), 0) for i in range(count))


def window_boxes(
    height: int, width: int, *, window: int, stride: int
) -> tuple[tuple[int, int, int, int], ...]:
    """The windows of an image as (top, left, bottom, right), row by row.

    Args:
      height: rows of the (resized) image.
      width: columns of the image.
      window: side of a window.
      stride: distance of neighbouring windows.

    Returns:
      One box a window, cut off at the edge of an image smaller than the window.
    """
    return tuple(
        (top, left, min(top + window, height), min(left + window, width))
        for top in window_starts(height, window=window, stride=stride)
        for left in window_starts(width, window=window, stride=stride)
    )


def cut_windows(
    image: Float[np.ndarray, "h w 3"], geometry: Geometry
) -> Float[np.ndarray, "k window window 3"]:
    """The windows of a normalised image.

    What lies beyond an image smaller than the window is zero, the mean colour, and takes no part in
    the result. (The published code uses smaller windows there and drops what fills no patch.)
    """
    height, width = image.shape[:2]
    window = geometry.window
    boxes = window_boxes(height, width, window=window, stride=geometry.stride)
    windows = np.zeros((len(boxes), window, window, 3), np.float32)
    for out, (top, left, bottom, right) in zip(windows, boxes, strict=True):
        out[: bottom - top, : right - left] = image[top:bottom, left:right]
    return windows


def _axis_matrices(
    size: int, new_size: int, *, window: int, stride: int
) -> Float[np.ndarray, "k o window"]:
    """For every window along one axis, the matrix from its pixels to those of the new size.

    Summed over windows they average where windows overlap and resize with half-pixel centres.
    """
    starts = window_starts(size, window=window, stride=stride)
    covered = np.zeros(size, np.float32)
    for start in starts:
        covered[start : start + window] += 1
    resize = linear_matrix(size, new_size, align_corners=False) / covered
    matrices = np.zeros((len(starts), new_size, window), np.float32)
    for out, start in zip(matrices, starts, strict=True):
        part = resize[:, start : start + window]
        out[:, : part.shape[1]] = part
    return matrices


@dataclass(frozen=True)
class Tile:
    """One fixed-size piece of the output, and how each window contributes to it.

    Attributes:
      top: first row of the output that it covers.
      left: first column.
      height: rows of it that lie inside the output.
      width: columns of it that lie inside.
      rows: for every window the matrix that gives the tile's rows; zero beyond the output.
      cols: the same for its columns.
    """

    top: int
    left: int
    height: int
    width: int
    rows: Float[np.ndarray, "k tile window"]
    cols: Float[np.ndarray, "k tile window"]

    @property
    def inside(self) -> tuple[slice, slice]:
        """Which part of the output it is."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def tiles(
    size: tuple[int, int],
    new_size: tuple[int, int],
    *,
    geometry: Geometry,
    tile: int,
    slots: int,
) -> Iterator[Tile]:
    """Cuts the output of one image into tiles of one size.

    Args:
      size: (height, width) of the image that the windows were cut from.
      new_size: (height, width) of the output.
      geometry: how they were cut.
      tile: side of a tile.
      slots: the number of windows that the matrices make room for; those of absent windows are
        zero.

    Yields:
      The tiles, row by row.
    """
    window, stride = geometry.window, geometry.stride
    rows = _axis_matrices(size[0], new_size[0], window=window, stride=stride)
    cols = _axis_matrices(size[1], new_size[1], window=window, stride=stride)
    row_of, col_of = (x.ravel() for x in np.mgrid[: len(rows), : len(cols)])
    for top in range(0, new_size[0], tile):
        for left in range(0, new_size[1], tile):
            height, width = min(tile, new_size[0] - top), min(tile, new_size[1] - left)
            tile_rows = np.zeros((slots, tile, window), np.float32)
            tile_cols = np.zeros((slots, tile, window), np.float32)
            tile_rows[: len(row_of), :height] = rows[row_of, top : top + height]
            tile_cols[: len(col_of), :width] = cols[col_of, left : left + width]
            yield Tile(top, left, height, width, tile_rows, tile_cols)


def slot_count(windows: int) -> int:
    """Room for this many windows: the next power of two, so that few programs serve all images."""
    return 1 << (windows - 1).bit_length()
