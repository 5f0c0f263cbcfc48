"""What a synthetic world contains and how hard it is."""

import math
from dataclasses import dataclass

from ovs_jax.data.synthetic.catalogue import COLOURS, OBJECTS, STUFF

DEFAULT_OBJECTS = tuple(OBJECTS)[:16]
DEFAULT_STUFF = tuple(STUFF)[:6]


@dataclass(frozen=True)
class WorldConfig:
    """Sizes, classes and difficulty of a synthetic world.

    Attributes:
      size: side of the square images in pixels, at least 32.
      object_classes: names of `ovs_jax.data.synthetic.catalogue.OBJECTS`, in the order of their
        label ids.
      stuff_classes: names of `ovs_jax.data.synthetic.catalogue.STUFF`; their label ids follow.
      max_objects: the most objects a scene has.
      empty_share: share of scenes without objects.
      coverage: mean share of a scene that objects cover, over all scenes.
      jitter: how much colour, light and pose vary: 0 not at all, 1 as the catalogue says, up to 2.
      palettes: the most colour schemes a class has, at least 1; fewer make colour tell more.
      noise: standard deviation of the pixel noise, in grey levels of 0 to 255.
      attribute_rate: probability of each optional word in a caption (colour, size, position …).
      synonym_rate: probability that a class with synonyms is called by one of them.
      colours: body colours, names of `ovs_jax.data.synthetic.catalogue.COLOURS`, that every kind
        of objects comes in, with marks in a darker shade. Label ids then tell objects of one kind
        but another colour apart, such as ``red umbrella`` and ``blue umbrella``. If empty, each
        kind has its own `palettes`, and its colours have one label id.
      unseen_share: share of the (object, stuff) pairs that never stand together in training scenes.
    """

    size: int = 64
    object_classes: tuple[str, ...] = DEFAULT_OBJECTS
    stuff_classes: tuple[str, ...] = DEFAULT_STUFF
    max_objects: int = 4
    empty_share: float = 0.1
    coverage: float = 0.3
    jitter: float = 1.0
    palettes: int = 2
    noise: float = 5.0
    attribute_rate: float = 0.4
    synonym_rate: float = 0.15
    unseen_share: float = 1 / 12
    colours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, known in (("object_classes", OBJECTS), ("stuff_classes", STUFF)):
            names = getattr(self, field)
            unknown = [name for name in names if name not in known]
            if unknown:
                raise ValueError(
                    f"world.{field}: expected names among {', '.join(known)}, got {unknown}"
                )
            if not names or len(set(names)) < len(names):
                raise ValueError(
                    f"world.{field}: expected one or more different names, got {names}"
                )
        unknown = [name for name in self.colours if name not in COLOURS]
        if unknown or len(set(self.colours)) < len(self.colours):
            raise ValueError(
                f"world.colours: expected different names among {', '.join(COLOURS)}, got "
                f"{self.colours}"
            )
        if self.size < 32:
            raise ValueError(f"world.size: expected at least 32 pixels, got {self.size}")
        if not 0 <= self.max_objects <= 8:
            raise ValueError(f"world.max_objects: expected 0 to 8, got {self.max_objects}")
        if self.palettes < 1:
            raise ValueError(f"world.palettes: expected at least 1, got {self.palettes}")
        ranges = {
            "empty_share": 1.0,
            "coverage": 0.5,
            "jitter": 2.0,
            "noise": 64.0,
            "attribute_rate": 1.0,
            "synonym_rate": 1.0,
            "unseen_share": 1 / 3,
        }
        for field, highest in ranges.items():
            value = getattr(self, field)
            if not 0 <= value <= highest:
                raise ValueError(f"world.{field}: expected 0 to {highest:g}, got {value}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of every label id: objects, then stuff."""
        return self.object_names + self.stuff_classes

    @property
    def object_names(self) -> tuple[str, ...]:
        """The name of every label id of objects."""
        if not self.colours:
            return self.object_classes
        return tuple(
            self.class_name(kind, body) for kind in self.object_classes for body in self.colours
        )

    def class_name(self, kind: str, colour: str) -> str:
        """The class of an object of some kind and body colour."""
        return f"{colour} {kind}" if self.colours else kind

    def schemes(self, kind: str) -> tuple[tuple[str, str], ...]:
        """The pairs of body and mark colour that objects of a kind come in."""
        if self.colours:
            return tuple((body, "darker") for body in self.colours)
        return OBJECTS[kind].colours[: self.palettes]

    @property
    def unseen_combinations(self) -> tuple[tuple[str, str], ...]:
        """The (object, stuff) pairs that never stand in one training scene.

        They follow from the class lists alone, so every seed holds out the same ones, and they are
        spread evenly: no class is held out with everything.
        """
        objects, stuff = len(self.object_classes), len(self.stuff_classes)
        lap = math.lcm(objects, stuff)
        return tuple(
            (self.object_classes[k % objects], self.stuff_classes[(k + k // lap) % stuff])
            for k in range(int(self.unseen_share * objects * stuff + 1e-9))
        )
