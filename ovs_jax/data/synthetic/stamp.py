"""Silhouettes of posed objects on the pixel grid."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from ovs_jax.data.synthetic.scene import Pose
from ovs_jax.data.synthetic.shapes import Shape

_FRACTION_BITS = 4  # corners keep sixteenths of a pixel


@dataclass(frozen=True)
class Stamp:
    """The part of a silhouette that lies inside the image.

    Attributes:
      roles: role of every pixel of the box, 0 outside the silhouette.
      left: first column of the box.
      top: first row of the box.
    """

    roles: UInt8[np.ndarray, "h w"]
    left: int
    top: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels."""
        height, width = self.roles.shape
        return self.left, self.top, self.left + width, self.top + height

    @property
    def window(self) -> tuple[slice, slice]:
        """The box as an index into the image."""
        left, top, right, bottom = self.box
        return slice(top, bottom), slice(left, right)


def stamp(shape: Shape, pose: Pose, *, size: int) -> Stamp:
    """Draws the silhouette of an object in an image of `size` x `size` pixels.

    Args:
      shape: polygons and their roles.
      pose: where it stands; its centre lies in the image.
      size: side of the image in pixels.

    Returns:
      The roles of the pixels in the bounding box, clipped to the image.
    """
    scale = size * math.sqrt(pose.area / shape.area)
    wide, high = scale * math.sqrt(pose.aspect), scale / math.sqrt(pose.aspect)
    cos, sin = math.cos(pose.angle), math.sin(pose.angle)
    turn = np.array(
        [[wide * cos * pose.direction, wide * sin * pose.direction], [-high * sin, high * cos]],
        np.float32,
    )
    points = shape.points @ turn + np.array([pose.x * size, pose.y * size], np.float32)
    low, high_corner = points.min(0), points.max(0)
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = min(int(high_corner[0]) + 1, size), min(int(high_corner[1]) + 1, size)
    roles = np.zeros((max(bottom - top, 1), max(right - left, 1)), np.uint8)
    # OpenCV counts from pixel centres.
    points -= np.array([left + 0.5, top + 0.5], np.float32)
    corners = np.round(points * (1 << _FRACTION_BITS)).astype(np.int32)
    start = 0
    for part, end in zip(shape.parts, shape.ends, strict=True):
        cv2.fillPoly(roles, [corners[start:end]], part.role, cv2.LINE_8, _FRACTION_BITS)
        start = end
    return Stamp(roles, left, top)
