"""From a scene to pixels and their exact labels."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int32, UInt8

from ovs_jax.data.synthetic.catalogue import OBJECTS
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.scene import Light, Region, Scene, SceneObject
from ovs_jax.data.synthetic.shapes import DARK, LIGHT, SHAPES, TRIM
from ovs_jax.data.synthetic.stamp import Stamp, stamp
from ovs_jax.data.synthetic.textures import pixel_noise, texture_field

_DARK = np.array((38.0, 34.0, 32.0), np.float32)
_LIGHT = np.array((236.0, 230.0, 214.0), np.float32)
_SOFTNESS = 0.55  # blur in pixels that hides the steps of the pixel grid


@dataclass(frozen=True)
class Drawing:
    """A picture with its truth.

    Attributes:
      image: RGB.
      label: class id of every pixel: an index into `WorldConfig.class_names`.
    """

    image: UInt8[np.ndarray, "size size 3"]
    label: Int32[np.ndarray, "size size"]


def draw_scene(scene: Scene, config: WorldConfig) -> Drawing:
    """Paints a scene at the world's image size.

    Args:
      scene: what stands where.
      config: gives size, noise and class ids.

    Returns:
      The image, and a label map that covers every pixel.
    """
    size = config.size
    class_ids = {name: i for i, name in enumerate(config.class_names)}
    canvas = _region_colours(scene.regions[0], size)
    label = np.full((size, size), class_ids[scene.regions[0].name], np.int32)
    if len(scene.regions) == 2:
        second = scene.boundary.second_side(size)
        np.copyto(canvas, _region_colours(scene.regions[1], size), where=second[..., None])
        label[second] = class_ids[scene.regions[1].name]
    for item in scene.objects:
        silhouette = stamp(SHAPES[OBJECTS[item.name].shape], item.pose, size=size)
        inside = silhouette.roles > 0
        colours = _object_colours(item, silhouette, size=size)
        np.copyto(canvas[silhouette.window], colours, where=inside[..., None])
        label[silhouette.window][inside] = class_ids[config.class_name(item.name, item.colour)]
    return Drawing(_develop(canvas, scene.light, noise=config.noise), label)


def _mix(
    field: Float[np.ndarray, "h w"], body: tuple[float, ...], mark: tuple[float, ...]
) -> Float[np.ndarray, "h w 3"]:
    first, second = np.array(body, np.float32), np.array(mark, np.float32)
    return field[..., None] * (second - first) + first


def _region_colours(region: Region, size: int) -> Float[np.ndarray, "size size 3"]:
    field = texture_field(region.surface, (0, 0, size, size), centre=(0.0, 0.0), size=size)
    return _mix(field, region.body, region.mark)


def _object_colours(
    item: SceneObject, silhouette: Stamp, *, size: int
) -> Float[np.ndarray, "h w 3"]:
    centre = (item.pose.x * size, item.pose.y * size)
    field = texture_field(item.surface, silhouette.box, centre=centre, size=size)
    colours = _mix(field, item.body, item.mark)
    trimmings = {TRIM: np.array(item.mark, np.float32), DARK: _DARK, LIGHT: _LIGHT}
    present = {part.role for part in SHAPES[OBJECTS[item.name].shape].parts}
    for role in trimmings.keys() & present:
        colours[silhouette.roles == role] = trimmings[role]
    return colours


def _develop(
    canvas: Float[np.ndarray, "size size 3"], light: Light, *, noise: float
) -> UInt8[np.ndarray, "size size 3"]:
    """Softens edges, lights the scene and adds the noise of a sensor."""
    size = canvas.shape[0]
    canvas = np.asarray(cv2.GaussianBlur(canvas, (3, 3), _SOFTNESS * size / 64))
    place = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    slope_x, slope_y = light.slope * math.cos(light.angle), light.slope * math.sin(light.angle)
    brightness = 1 + slope_x * place[None, :] + slope_y * place[:, None]
    canvas *= (light.gain * brightness)[..., None]
    if noise > 0:
        canvas += noise * pixel_noise(size, phase=light.noise_window)
    canvas += 0.5  # rounds, as the conversion to integers cuts
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
