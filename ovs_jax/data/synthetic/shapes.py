"""Silhouettes of the objects: polygons in a unit square, each with the role that colours it.

A shape is a list of parts in drawing order, in coordinates of about [-1, 1] with y pointing down.
Most of its area is BODY, which carries the texture of the class; other roles are plain trimmings.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float

CUT, BODY, TRIM, DARK, LIGHT = range(5)
"""Roles of a part: a hole, the textured body, trimming of the second colour, dark, light."""


@dataclass(frozen=True)
class Part:
    """A polygon and its role.

    Attributes:
      points: corners in unit coordinates.
      role: CUT, BODY, TRIM, DARK or LIGHT.
    """

    points: Float[np.ndarray, "corners 2"]
    role: int = BODY


@dataclass(frozen=True)
class Shape:
    """Parts in drawing order."""

    parts: tuple[Part, ...]

    @cached_property
    def points(self) -> Float[np.ndarray, "corners 2"]:
        """The corners of all parts, one after the other."""
        return np.concatenate([part.points for part in self.parts])

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each part ends in `points`."""
        return tuple(np.cumsum([len(part.points) for part in self.parts]).tolist())

    @cached_property
    def area(self) -> float:
        """Area of the silhouette, in units where the square [-1, 1]² has 4."""
        resolution, margin = 100, 2
        roles = np.zeros((2 * margin * resolution,) * 2, np.uint8)
        for part in self.parts:
            corners = np.round((part.points + margin) * resolution).astype(np.int32)
            cv2.fillPoly(roles, [corners], part.role)
        return float(np.count_nonzero(roles)) / resolution**2


def _polygon(*corners: tuple[float, float], role: int = BODY) -> Part:
    return Part(np.array(corners, np.float32), role)


def _box(left: float, top: float, right: float, bottom: float, *, role: int = BODY) -> Part:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom), role=role)


def _ellipse(
    x: float,
    y: float,
    *,
    radii: tuple[float, float],
    tilt: float = 0.0,
    role: int = BODY,
    arc: tuple[float, float] = (0.0, 360.0),
) -> Part:
    angles = np.radians(np.linspace(*arc, 25))
    along, across = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    points = np.stack([x + along * cos - across * sin, y + along * sin + across * cos], axis=-1)
    return Part(points.astype(np.float32), role)


def _legs(*, top: float, length: float, width: float, role: int = BODY) -> list[Part]:
    return [
        _box(x - width / 2, top, x + width / 2, top + length, role=role)
        for x in (-0.55, -0.3, 0.28, 0.53)
    ]


def _animal(*details: Part, neck: float, legs: float, leg_role: int = BODY) -> Shape:
    """A standing animal that looks to the right: body, legs, and a neck of the given height."""
    head_y = -0.3 - neck
    return Shape(
        (
            *_legs(top=0.15, length=legs + 0.15, width=0.2, role=leg_role),
            _ellipse(0.0, 0.0, radii=(0.75, 0.42)),
            _polygon((0.3, -0.2), (0.62, head_y), (0.86, head_y), (0.72, 0.1)),
            _ellipse(0.84, head_y, radii=(0.3, 0.19), tilt=20.0),
            _polygon((-0.7, -0.2), (-0.98, 0.3), (-0.88, 0.34), (-0.62, 0.0)),
            *details,
            _ellipse(0.84, head_y - 0.05, radii=(0.05, 0.05), role=DARK),
        )
    )


def _curls(count: int, *, radius: float) -> list[Part]:
    angles = [2 * math.pi * i / count for i in range(count)]
    return [
        _ellipse(0.66 * math.cos(a), 0.42 * math.sin(a), radii=(radius, radius)) for a in angles
    ]


SHAPES: dict[str, Shape] = {
    "zebra": _animal(
        _polygon((0.55, -0.6), (0.35, -0.2), (0.5, -0.15), (0.72, -0.65), role=DARK),
        neck=0.3,
        legs=0.6,
    ),
    "cow": _animal(
        _polygon((0.7, -0.5), (0.66, -0.75), (0.8, -0.52), role=LIGHT),
        _ellipse(1.06, -0.3, radii=(0.12, 0.15), role=LIGHT),
        neck=0.12,
        legs=0.45,
    ),
    "giraffe": _animal(
        _box(0.72, -1.35, 0.76, -1.12, role=DARK),
        _box(0.86, -1.35, 0.9, -1.12, role=DARK),
        neck=0.8,
        legs=0.75,
    ),
    "dog": _animal(
        _polygon((0.6, -0.5), (0.5, -0.1), (0.72, -0.12), (0.78, -0.48), role=DARK),
        _ellipse(1.12, -0.28, radii=(0.07, 0.06), role=DARK),
        neck=0.05,
        legs=0.4,
    ),
    "cat": Shape(
        (
            _ellipse(0.0, 0.45, radii=(0.6, 0.62)),
            _polygon((0.4, 0.85), (1.0, 0.5), (0.9, -0.1), (1.08, -0.1), (1.2, 0.6), (0.5, 1.07)),
            _ellipse(0.0, -0.4, radii=(0.52, 0.44)),
            _polygon((-0.5, -0.5), (-0.46, -1.05), (-0.1, -0.75)),
            _polygon((0.5, -0.5), (0.46, -1.05), (0.1, -0.75)),
            _ellipse(-0.2, -0.42, radii=(0.08, 0.09), role=DARK),
            _ellipse(0.2, -0.42, radii=(0.08, 0.09), role=DARK),
        )
    ),
    "sheep": Shape(
        (
            *_legs(top=0.2, length=0.6, width=0.15, role=DARK),
            *_curls(9, radius=0.3),
            _ellipse(0.0, 0.0, radii=(0.75, 0.5)),
            _ellipse(0.9, -0.15, radii=(0.26, 0.2), tilt=35.0, role=DARK),
        )
    ),
    "fish": Shape(
        (
            _polygon((-0.55, 0.0), (-1.1, -0.5), (-1.0, 0.0), (-1.1, 0.5), role=TRIM),
            _polygon((-0.2, -0.3), (0.1, -0.75), (0.35, -0.35), role=TRIM),
            _ellipse(0.1, 0.0, radii=(0.85, 0.48)),
            _ellipse(0.62, -0.1, radii=(0.08, 0.08), role=DARK),
        )
    ),
    "bus": Shape(
        (
            _box(-1.0, -0.55, 1.0, 0.5),
            _ellipse(-0.55, 0.5, radii=(0.2, 0.2), role=DARK),
            _ellipse(0.55, 0.5, radii=(0.2, 0.2), role=DARK),
        )
    ),
    "umbrella": Shape(
        (
            _box(-0.05, -0.1, 0.05, 0.95, role=DARK),
            _box(0.0, 0.85, 0.25, 0.95, role=DARK),
            _ellipse(0.0, 0.15, radii=(1.0, 0.95), arc=(180.0, 360.0)),
        )
    ),
    "kite": Shape(
        (
            _polygon((-0.04, 0.6), (0.3, 1.2), (0.38, 1.15), (0.06, 0.6), role=DARK),
            _polygon((0.0, -1.0), (0.72, -0.2), (0.0, 0.9), (-0.72, -0.2)),
        )
    ),
    "ball": Shape((_ellipse(0.0, 0.0, radii=(0.9, 0.9)),)),
    "mushroom": Shape(
        (
            _polygon((-0.3, 0.1), (0.3, 0.1), (0.38, 0.9), (-0.38, 0.9), role=LIGHT),
            _ellipse(0.0, 0.2, radii=(1.0, 1.0), arc=(180.0, 360.0)),
        )
    ),
    "pizza": Shape(
        (
            _ellipse(0.0, 0.0, radii=(0.95, 0.95), role=TRIM),
            _ellipse(0.0, 0.0, radii=(0.8, 0.8)),
        )
    ),
    "donut": Shape(
        (
            _ellipse(0.0, 0.0, radii=(0.95, 0.9)),
            _ellipse(0.0, 0.0, radii=(0.27, 0.25), role=CUT),
        )
    ),
    "cake": Shape(
        (
            _polygon((-0.85, -0.35), (0.85, -0.35), (0.8, 0.75), (-0.8, 0.75)),
            _ellipse(0.0, -0.35, radii=(0.85, 0.18), role=LIGHT),
            _ellipse(0.0, -0.6, radii=(0.16, 0.16), role=TRIM),
        )
    ),
    "mug": Shape(
        (
            _ellipse(0.65, 0.0, radii=(0.45, 0.45)),
            _ellipse(0.65, 0.0, radii=(0.22, 0.24), role=CUT),
            _polygon((-0.8, -0.75), (0.62, -0.75), (0.55, 0.8), (-0.7, 0.8)),
            _ellipse(-0.09, -0.75, radii=(0.7, 0.13), role=DARK),
        )
    ),
    "cactus": Shape(
        (
            _ellipse(0.0, 0.0, radii=(0.34, 1.0)),
            _polygon(
                (-0.2, 0.35), (-0.85, 0.2), (-0.85, -0.4), (-0.58, -0.4), (-0.55, 0.0), (-0.2, 0.05)
            ),
            _polygon(
                (0.2, 0.15), (0.85, 0.0), (0.85, -0.6), (0.58, -0.6), (0.55, -0.2), (0.2, -0.15)
            ),
            _polygon((-0.45, 0.8), (0.45, 0.8), (0.35, 1.15), (-0.35, 1.15), role=TRIM),
        )
    ),
    "melon": Shape((_ellipse(0.0, 0.0, radii=(1.0, 0.76)),)),
    "pillow": Shape(
        (
            _polygon(
                (-0.95, -0.9),
                (0.0, -0.74),
                (0.95, -0.9),
                (0.8, 0.0),
                (0.95, 0.9),
                (0.0, 0.74),
                (-0.95, 0.9),
                (-0.8, 0.0),
            ),
        )
    ),
    "book": Shape(
        (
            _polygon((-0.72, -0.95), (0.85, -0.95), (0.85, 0.95), (-0.72, 0.95), role=LIGHT),
            _box(-0.82, -0.9, 0.72, 1.0),
            _box(-0.82, -0.9, -0.66, 1.0, role=DARK),
        )
    ),
}
"""The silhouette of every object class of the catalogue."""
