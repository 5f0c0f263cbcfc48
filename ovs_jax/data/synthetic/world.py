"""The synthetic world as data sources: captioned images, and images with labels."""

import operator
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, SupportsIndex

import numpy as np

from ovs_jax.data.synthetic.captions import entity_words, write_caption
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.drawing import Drawing, draw_scene
from ovs_jax.data.synthetic.draws import Draws
from ovs_jax.data.synthetic.layout import sample_scene
from ovs_jax.data.synthetic.scene import Scene
from ovs_jax.typing import ClassSet

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")
# Streams of one scene that do not disturb each other.
_LAYOUT, _WORDS = range(2)


class SyntheticWorld:
    """Captioned scenes by index, from nothing but a config and a seed.

    A scene depends on (split, seed, index) alone, never on which scenes were read before. The
    splits draw from different random streams, and training scenes never show an unseen combination.

    Attributes:
      config: sizes, classes and difficulty.
      split: "train" or "validation".
      seed: selects one of many worlds with the same statistics.
    """

    def __init__(
        self,
        config: WorldConfig | None = None,
        *,
        split: Split = "train",
        seed: int = 0,
        length: int = 20_000,
    ):
        """Makes a world of `length` scenes; drawing happens at access.

        Raises:
          ValueError: if the split is unknown, the seed negative or the length below 1.
        """
        if split not in SPLITS:
            raise ValueError(f"world.split: expected one of {SPLITS}, got '{split}'")
        if seed < 0:
            raise ValueError(f"world.seed: expected 0 or more, got {seed}")
        if length < 1:
            raise ValueError(f"world.length: expected at least 1 scene, got {length}")
        self.config = WorldConfig() if config is None else config
        self.split = split
        self.seed = seed
        self._length = length
        self._stream = zlib.crc32(split.encode())
        self._held_out = self.unseen_combinations if split == "train" else ()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: SupportsIndex) -> dict:
        """Returns {"image": uint8 [size, size, 3], "caption": str, "key": str}."""
        scene = self.scene(index)
        image = draw_scene(scene, self.config).image
        return {"image": image, "caption": self._words(scene, index), "key": self.key(index)}

    def __repr__(self) -> str:
        what = f"split={self.split!r}, seed={self.seed}, length={len(self)}"
        return f"SyntheticWorld({self.config}, {what})"

    @property
    def unseen_combinations(self) -> tuple[tuple[str, str], ...]:
        """The (object, stuff) pairs that occur together in validation scenes only."""
        return self.config.unseen_combinations

    @property
    def class_set(self) -> ClassSet:
        """All classes by label id: objects, then stuff."""
        return ClassSet("synthetic", self.config.class_names)

    def entities(self) -> dict[str, str]:
        """Every word that captions use for a class, mapped to the class name.

        These are the words of an entity vocabulary: class names, their plurals and synonyms.
        """
        return entity_words(self.config)

    def key(self, index: SupportsIndex) -> str:
        """The name of a scene, unique over splits and seeds."""
        return f"synthetic-{self.split}-{self.seed}-{self._checked(index):07d}"

    def scene(self, index: SupportsIndex) -> Scene:
        """What stands where in a scene, without drawing it."""
        draws = Draws(self.seed, self._stream, self._checked(index), _LAYOUT)
        return sample_scene(draws, self.config, held_out=self._held_out)

    def drawing(self, index: SupportsIndex) -> Drawing:
        """The image of a scene and the class id of every pixel."""
        return draw_scene(self.scene(index), self.config)

    def captions(self) -> Sequence[str]:
        """The captions of all scenes, without drawing any."""
        return self._captions

    def segmentation(self, labels: Literal["all", "objects"] = "all") -> "SyntheticSegmentation":
        """The same scenes as images with label maps; see `SyntheticSegmentation`."""
        return SyntheticSegmentation(self, labels=labels)

    @cached_property
    def _captions(self) -> tuple[str, ...]:
        return tuple(self._words(self.scene(index), index) for index in range(len(self)))

    def _words(self, scene: Scene, index: SupportsIndex) -> str:
        draws = Draws(self.seed, self._stream, self._checked(index), _WORDS)
        return write_caption(scene, draws, self.config)

    def _checked(self, index: SupportsIndex) -> int:
        number = operator.index(index)
        if not 0 <= number < self._length:
            raise IndexError(f"world has scenes 0 to {self._length - 1}, got {number}")
        return number


class SyntheticSegmentation:
    """Scenes with a class id for every pixel, for evaluation.

    Attributes:
      world: where the scenes come from.
      class_set: the meaning of the label ids. With ``labels="all"`` every class has its own id,
        objects first; with ``"objects"`` label 0 is the background, which all stuff belongs to.
    """

    def __init__(self, world: SyntheticWorld, *, labels: Literal["all", "objects"] = "all"):
        """Views a world as a segmentation source.

        Raises:
          ValueError: if `labels` is neither "all" nor "objects".
        """
        if labels not in ("all", "objects"):
            raise ValueError(f"labels: expected 'all' or 'objects', got '{labels}'")
        self.world = world
        self._objects = len(world.config.object_names)
        self._labels = labels
        self.class_set = world.class_set
        if labels == "objects":
            names = ("background", *world.config.object_names)
            self.class_set = ClassSet("synthetic-objects", names, has_background=True)

    def __len__(self) -> int:
        return len(self.world)

    def __getitem__(self, index: SupportsIndex) -> dict:
        """Returns {"image": uint8 [size, size, 3], "label": int32 [size, size], "key": str}."""
        drawing = self.world.drawing(index)
        label = drawing.label
        if self._labels == "objects":
            label = np.where(label < self._objects, label + 1, 0).astype(np.int32)
        return {"image": drawing.image, "label": label, "key": self.world.key(index)}
