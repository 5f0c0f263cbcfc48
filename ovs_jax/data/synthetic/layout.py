"""Drawing lots for a scene.

A scene is laid out on a small raster, so that what a caption names can be seen: an object that
would hide another is not placed, and a region that objects hide is dropped.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from ovs_jax.data.synthetic.catalogue import COLOURS, OBJECTS, STUFF
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.draws import Draws
from ovs_jax.data.synthetic.scene import (
    Boundary,
    Light,
    Pose,
    Region,
    Rgb,
    Scene,
    SceneObject,
)
from ovs_jax.data.synthetic.shapes import SHAPES
from ovs_jax.data.synthetic.stamp import Stamp, stamp
from ovs_jax.data.synthetic.textures import Surface

LAYOUT_SIZE = 64
SMALLEST_OBJECT = 0.02
"""Least visible share of the image that an object keeps on the layout raster."""
SMALLEST_REGION = 0.06
"""The same of a stuff region."""
VISIBLE_PART = 0.55
"""Least share of an object's own pixels that others leave visible."""

_TWO_REGIONS = 0.45
_SAME_CLASS_AGAIN = 0.25
_PLACES_TRIED = 5
_OVERLAP_ALLOWED = 0.25
# More objects are smaller: each covers 1 / n^0.6 of what a single one would.
_CROWDING = 0.6
_COUNT_EXPONENT = 1.4


def sample_scene(
    draws: Draws, config: WorldConfig, *, held_out: Sequence[tuple[str, str]] = ()
) -> Scene:
    """Draws a scene.

    Args:
      draws: the random stream of this scene.
      config: the world.
      held_out: (object, stuff) pairs that may not stand together.

    Returns:
      The scene. On the layout raster every object shows at least `SMALLEST_OBJECT` of the image and
      `VISIBLE_PART` of itself, and every region at least `SMALLEST_REGION` of the image.
    """
    names = draws.shuffled(config.stuff_classes)[: 2 if draws.chance(_TWO_REGIONS) else 1]
    if "sky" in names:
        names.sort(key="sky".__ne__)  # the first region is the upper one
    regions = [_sample_region(draws, name, config) for name in names]
    boundary = _sample_boundary(draws, names)
    forbidden = {name for name, stuff in held_out if stuff in names}
    allowed = [name for name in config.object_classes if name not in forbidden]
    objects, owner = _place_objects(draws, config, allowed)
    if len(regions) == 2:
        second = boundary.second_side(LAYOUT_SIZE)[owner == 0]
        shares = [np.count_nonzero(~second), np.count_nonzero(second)]
        if min(shares) < SMALLEST_REGION * owner.size:
            regions = [regions[int(np.argmax(shares))]]
    light = Light(
        gain=1.0 + draws.around(0.14 * config.jitter),
        slope=draws.uniform(0.0, 0.35 * config.jitter),
        angle=draws.uniform(0.0, 2 * math.pi),
        noise_window=(draws.uniform(), draws.uniform()),
    )
    return Scene(tuple(objects), tuple(regions), boundary, light)


def _sample_region(draws: Draws, name: str, config: WorldConfig) -> Region:
    kind, jitter = STUFF[name], config.jitter
    adjectives, body_name, mark_name = draws.pick(kind.colours[: config.palettes])
    body, mark = _sample_colours(draws, body_name, mark_name, jitter=jitter)
    surface = _sample_surface(draws, kind.texture, period=kind.period, tilt=kind.tilt * jitter)
    return Region(name, surface, body, mark, adjectives)


def _sample_boundary(draws: Draws, names: Sequence[str]) -> Boundary:
    # The sky is above; other regions may lie in any direction.
    angle = math.pi / 2 + draws.around(0.2) if "sky" in names else draws.uniform(0.0, 2 * math.pi)
    return Boundary(
        angle=angle,
        offset=draws.around(0.16),
        amplitude=draws.uniform(0.0, 0.06),
        frequency=draws.uniform(0.7, 2.2),
        phase=draws.uniform(),
    )


class _Raster:
    """Whose pixel is whose, to keep every object visible."""

    def __init__(self) -> None:
        self.owner = np.zeros((LAYOUT_SIZE, LAYOUT_SIZE), np.uint8)
        self._areas = [0]
        self._visible = [0]

    def place(self, silhouette: Stamp) -> bool:
        """Puts an object in front of the others, unless too much would be hidden or cut off."""
        window = self.owner[silhouette.window]
        inside = silhouette.roles > 0
        hidden = np.bincount(window[inside], minlength=len(self._areas)).tolist()
        area, smallest = sum(hidden), SMALLEST_OBJECT * self.owner.size
        left = [visible - lost for visible, lost in zip(self._visible, hidden, strict=True)]
        if area < smallest or area - hidden[0] > _OVERLAP_ALLOWED * area:
            return False
        for own, remaining in zip(self._areas[1:], left[1:], strict=True):
            if remaining < max(smallest, VISIBLE_PART * own):
                return False
        window[inside] = len(self._areas)
        self._areas.append(area)
        self._visible = [*left, area]
        return True


def _place_objects(
    draws: Draws, config: WorldConfig, allowed: Sequence[str]
) -> tuple[list[SceneObject], UInt8[np.ndarray, "rows cols"]]:
    """Returns the objects in drawing order, and the number of the object of every layout pixel."""
    raster, objects = _Raster(), []
    if not allowed or config.max_objects == 0 or draws.chance(config.empty_share):
        return objects, raster.owner
    count = 1 + int(config.max_objects * draws.uniform() ** _COUNT_EXPONENT)
    area, name = _single_area(config) / count**_CROWDING, ""
    for _ in range(count):
        if not name or not draws.chance(_SAME_CLASS_AGAIN):
            name = draws.pick(allowed)
        candidate = _sample_object(draws, name, area=area, config=config)
        shape = SHAPES[OBJECTS[name].shape]
        for _ in range(_PLACES_TRIED):
            if raster.place(stamp(shape, candidate.pose, size=LAYOUT_SIZE)):
                objects.append(candidate)
                break
            candidate = replace(candidate, pose=_move(draws, candidate.pose))
    return objects, raster.owner


def _single_area(config: WorldConfig) -> float:
    """Area for a lone object such that scenes are covered by `config.coverage` on average."""
    most = config.max_objects
    ends = [(n / most) ** (1 / _COUNT_EXPONENT) for n in range(most + 1)]
    crowd = sum((ends[n] - ends[n - 1]) * n ** (1 - _CROWDING) for n in range(1, most + 1))
    return config.coverage / (max(1 - config.empty_share, 0.1) * crowd)


def _sample_object(draws: Draws, name: str, *, area: float, config: WorldConfig) -> SceneObject:
    kind, jitter = OBJECTS[name], config.jitter
    body_name, mark_name = draws.pick(config.schemes(name))
    body, mark = _sample_colours(draws, body_name, mark_name, jitter=jitter)
    pose = Pose(
        x=0.5,
        y=0.5,
        area=min(area * math.exp(draws.around(0.3 * jitter)), 0.45),
        aspect=math.exp(draws.around(0.18 * jitter)),
        angle=math.radians(draws.around(kind.tilt * jitter)),
        direction=draws.pick((-1, 1)),
    )
    surface = _sample_surface(draws, kind.texture, period=kind.period, tilt=12.0 * jitter)
    # The texture turns with the object.
    surface = replace(surface, angle=surface.angle + pose.angle)
    return SceneObject(name, _move(draws, pose), surface, body, mark, body_name)


def _move(draws: Draws, pose: Pose) -> Pose:
    # Half the width of a square of this area: most of the object stays inside the image.
    margin = 0.45 * math.sqrt(pose.area)
    return replace(pose, x=draws.uniform(margin, 1 - margin), y=draws.uniform(margin, 1 - margin))


def _sample_surface(draws: Draws, texture: str, *, period: float, tilt: float) -> Surface:
    return Surface(
        texture,
        period=period * math.exp(draws.around(0.15)),
        angle=math.radians(draws.around(tilt)),
        phase=(draws.uniform(), draws.uniform()),
    )


def _sample_colours(draws: Draws, body: str, mark: str, *, jitter: float) -> tuple[Rgb, Rgb]:
    hue, saturation, value = _sample_colour(draws, body, jitter)
    if mark == "darker":
        second = (hue, min(saturation * 1.1, 1.0), value * draws.uniform(0.42, 0.62))
    elif mark == "lighter":
        second = (hue, saturation * 0.55, min(value * draws.uniform(1.5, 1.9) + 0.12, 1.0))
    else:
        second = _sample_colour(draws, mark, jitter)
    return _rgb(hue, saturation, value), _rgb(*second)


def _sample_colour(draws: Draws, name: str, jitter: float) -> tuple[float, float, float]:
    hue, saturation, value = (
        (low + high) / 2 + draws.around((high - low) / 2 * jitter) for low, high in COLOURS[name]
    )
    return hue % 360 / 360, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return 255 * red, 255 * green, 255 * blue
