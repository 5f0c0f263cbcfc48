"""What stands where in a scene: plain data that both the picture and the caption are made from."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from ovs_jax.data.synthetic.textures import Surface

Rgb = tuple[float, float, float]
"""Red, green and blue of 0 to 255."""


@dataclass(frozen=True)
class Pose:
    """Place, size and rotation of an object.

    Attributes:
      x, y: centre, in image sides from the upper left corner.
      area: share of the image that the silhouette would cover if none of it were cut off or hidden.
      aspect: how much wider than usual it is, 1 for the usual shape; the area stays.
      angle: rotation in radians, clockwise as seen.
      direction: 1, or -1 for the mirrored shape.
    """

    x: float
    y: float
    area: float
    aspect: float
    angle: float
    direction: int


@dataclass(frozen=True)
class SceneObject:
    """One drawn object.

    Attributes:
      name: its class.
      pose: place, size and rotation.
      surface: its texture.
      body: first colour.
      mark: second colour.
      colour: the word for the body's colour.
    """

    name: str
    pose: Pose
    surface: Surface
    body: Rgb
    mark: Rgb
    colour: str


@dataclass(frozen=True)
class Region:
    """One stuff region.

    Attributes:
      name: its class.
      surface: its texture.
      body: first colour.
      mark: second colour.
      adjectives: words that fit its look.
    """

    name: str
    surface: Surface
    body: Rgb
    mark: Rgb
    adjectives: tuple[str, ...]


@dataclass(frozen=True)
class Boundary:
    """A wavy line that parts two regions: the second lies where the normal points.

    Attributes:
      angle: direction of the normal in radians; y points down.
      offset: distance of the line from the centre along the normal, in image sides.
      amplitude: height of the wave, in image sides.
      frequency: waves per image side.
      phase: start of the wave, in waves.
    """

    angle: float
    offset: float
    amplitude: float
    frequency: float
    phase: float

    def second_side(self, size: int) -> Bool[np.ndarray, "size size"]:
        """Which pixels of an image of this size belong to the second region."""
        x = (np.arange(size, dtype=np.float32)[None, :] + 0.5) / size - 0.5
        y = (np.arange(size, dtype=np.float32)[:, None] + 0.5) / size - 0.5
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        wave = self.amplitude * np.sin(
            2 * math.pi * (self.frequency * (y * cos - x * sin) + self.phase)
        )
        return x * cos + y * sin > self.offset + wave


@dataclass(frozen=True)
class Light:
    """Brightness over the image, gain · (1 + slope · position along `angle`), and its pixel noise.

    Attributes:
      gain: mean brightness.
      slope: change from the centre to half an image side away.
      angle: direction of the change in radians.
      noise_window: where the noise is taken from, two numbers in [0, 1).
    """

    gain: float
    slope: float
    angle: float
    noise_window: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """Everything that a picture and its caption say.

    Attributes:
      objects: in drawing order, later ones in front.
      regions: one or two stuff regions.
      boundary: what parts them; without effect on one region.
      light: brightness and noise.
    """

    objects: tuple[SceneObject, ...]
    regions: tuple[Region, ...]
    boundary: Boundary
    light: Light

    @property
    def classes(self) -> frozenset[str]:
        """The names of all classes that can be seen."""
        return frozenset(part.name for part in (*self.objects, *self.regions))
