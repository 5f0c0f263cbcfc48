"""What the synthetic world is made of: colours, objects and stuff, and the words for them.

Appearance tells the class, as it does in photographs, but no single cue does: every colour belongs
to several classes and so do some textures; it takes both, or the shape.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A word for a class.

    Attributes:
      singular: the word for one.
      plural: the word for several; empty for stuff, which is not counted.
      article: what stands before it when nothing else does: "a", "the" or nothing.
    """

    singular: str
    plural: str = ""
    article: str = "a"


@dataclass(frozen=True)
class ObjectKind:
    """A class of things that can be counted.

    Attributes:
      noun: the class name and its plural.
      shape: a key of `ovs_jax.data.synthetic.shapes.SHAPES`.
      texture: a texture name of `ovs_jax.data.synthetic.textures`.
      period: length of the texture in pixels at an image size of 64.
      colours: possible pairs of body and mark colour, keys of `COLOURS`. The mark may be "darker"
        or "lighter": the body's colour in another brightness.
      synonyms: other words for it.
      pattern: adjectives that always fit.
      tilt: greatest rotation to either side, in degrees.
    """

    noun: Noun
    shape: str
    texture: str
    period: float
    colours: tuple[tuple[str, str], ...]
    synonyms: tuple[Noun, ...] = ()
    pattern: tuple[str, ...] = ()
    tilt: float = 15.0


@dataclass(frozen=True)
class StuffKind:
    """A class that fills a region.

    Attributes:
      noun: the class name.
      texture, period: as of objects.
      colours: possible looks, each with the adjectives that fit it and two colours.
      places: prepositions for something that is there.
      synonyms: other words for it.
      tilt: greatest rotation of the texture to either side, in degrees.
    """

    noun: Noun
    texture: str
    period: float
    colours: tuple[tuple[tuple[str, ...], str, str], ...]
    places: tuple[str, ...]
    synonyms: tuple[Noun, ...] = ()
    tilt: float = 8.0


# Ranges of hue in degrees, saturation and value.
COLOURS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((348, 366), (0.65, 0.9), (0.6, 0.9)),
    "orange": ((18, 34), (0.7, 0.95), (0.75, 0.95)),
    "yellow": ((44, 58), (0.6, 0.9), (0.8, 0.98)),
    "green": ((88, 140), (0.45, 0.8), (0.35, 0.7)),
    "blue": ((205, 235), (0.5, 0.85), (0.45, 0.85)),
    "purple": ((262, 295), (0.35, 0.65), (0.4, 0.75)),
    "pink": ((322, 345), (0.3, 0.55), (0.8, 0.98)),
    "brown": ((14, 32), (0.45, 0.7), (0.3, 0.55)),
    "tan": ((32, 44), (0.22, 0.45), (0.72, 0.92)),
    "white": ((0, 360), (0.0, 0.06), (0.86, 1.0)),
    "gray": ((180, 240), (0.0, 0.1), (0.42, 0.66)),
    "black": ((0, 360), (0.0, 0.2), (0.06, 0.2)),
    "sky": ((198, 218), (0.25, 0.5), (0.78, 0.95)),
}
"""Colours by name, wide enough that neighbours touch."""

OBJECTS: dict[str, ObjectKind] = {
    kind.noun.singular: kind
    for kind in (
        ObjectKind(
            Noun("zebra", "zebras"),
            shape="zebra",
            texture="stripes",
            period=5.0,
            colours=(("white", "black"),),
            pattern=("striped", "wild"),
        ),
        ObjectKind(
            Noun("cow", "cows"),
            shape="cow",
            texture="blotches",
            period=11.0,
            colours=(("white", "black"), ("white", "brown"), ("brown", "white")),
            pattern=("spotted",),
        ),
        ObjectKind(
            Noun("giraffe", "giraffes"),
            shape="giraffe",
            texture="cells",
            period=5.5,
            colours=(("tan", "brown"), ("yellow", "brown"), ("tan", "orange")),
            pattern=("tall", "spotted"),
        ),
        ObjectKind(
            Noun("dog", "dogs"),
            shape="dog",
            texture="fur",
            period=1.0,
            colours=(("brown", "darker"), ("tan", "darker"), ("black", "lighter")),
            synonyms=(Noun("puppy", "puppies"),),
            pattern=("furry",),
        ),
        ObjectKind(
            Noun("cat", "cats"),
            shape="cat",
            texture="tabby",
            period=4.5,
            colours=(("orange", "darker"), ("gray", "darker"), ("brown", "lighter")),
            synonyms=(Noun("kitten", "kittens"),),
            pattern=("striped",),
        ),
        ObjectKind(
            Noun("sheep", "sheep"),
            shape="sheep",
            texture="curls",
            period=4.5,
            colours=(("white", "gray"), ("gray", "white"), ("tan", "darker")),
            synonyms=(Noun("lamb", "lambs"),),
            pattern=("woolly",),
        ),
        ObjectKind(
            Noun("fish", "fish"),
            shape="fish",
            texture="scales",
            period=5.0,
            colours=(("blue", "lighter"), ("orange", "darker"), ("green", "lighter")),
            tilt=30.0,
        ),
        ObjectKind(
            Noun("bus", "buses"),
            shape="bus",
            texture="windows",
            period=6.5,
            colours=(("red", "sky"), ("yellow", "black"), ("blue", "sky")),
            synonyms=(Noun("coach", "coaches"),),
            tilt=6.0,
        ),
        ObjectKind(
            Noun("umbrella", "umbrellas", "an"),
            shape="umbrella",
            texture="wedges",
            period=1.0,
            colours=(("red", "white"), ("blue", "yellow"), ("purple", "white"), ("green", "pink")),
            tilt=30.0,
        ),
        ObjectKind(
            Noun("kite", "kites"),
            shape="kite",
            texture="checks",
            period=5.0,
            colours=(("red", "yellow"), ("purple", "orange"), ("blue", "white"), ("pink", "green")),
            pattern=("checked",),
            tilt=40.0,
        ),
        ObjectKind(
            Noun("ball", "balls"),
            shape="ball",
            texture="rings",
            period=5.5,
            colours=(("blue", "white"), ("red", "white"), ("green", "yellow"), ("orange", "black")),
        ),
        ObjectKind(
            Noun("mushroom", "mushrooms"),
            shape="mushroom",
            texture="dots",
            period=5.5,
            colours=(("red", "white"), ("brown", "tan"), ("orange", "white")),
            pattern=("spotted",),
            tilt=20.0,
        ),
        ObjectKind(
            Noun("pizza", "pizzas"),
            shape="pizza",
            texture="dots",
            period=7.0,
            colours=(("yellow", "red"), ("yellow", "brown"), ("tan", "red")),
            pattern=("round",),
        ),
        ObjectKind(
            Noun("donut", "donuts"),
            shape="donut",
            texture="sprinkles",
            period=1.0,
            colours=(("pink", "white"), ("brown", "yellow"), ("white", "pink"), ("pink", "blue")),
            synonyms=(Noun("doughnut", "doughnuts"),),
            pattern=("sweet", "round"),
        ),
        ObjectKind(
            Noun("cake", "cakes"),
            shape="cake",
            texture="bands",
            period=6.0,
            colours=(("pink", "brown"), ("tan", "brown"), ("yellow", "pink")),
            pattern=("sweet",),
            tilt=6.0,
        ),
        ObjectKind(
            Noun("mug", "mugs"),
            shape="mug",
            texture="zigzag",
            period=5.5,
            colours=(("white", "blue"), ("white", "red"), ("yellow", "green"), ("blue", "black")),
            synonyms=(Noun("cup", "cups"),),
            tilt=12.0,
        ),
        ObjectKind(
            Noun("cactus", "cactuses"),
            shape="cactus",
            texture="lines",
            period=3.5,
            colours=(("green", "lighter"), ("green", "white")),
            pattern=("tall",),
        ),
        ObjectKind(
            Noun("melon", "melons"),
            shape="melon",
            texture="tabby",
            period=6.5,
            colours=(("green", "darker"), ("yellow", "green")),
            pattern=("ripe", "striped"),
            tilt=40.0,
        ),
        ObjectKind(
            Noun("pillow", "pillows"),
            shape="pillow",
            texture="plaid",
            period=6.0,
            colours=(("red", "green"), ("blue", "tan"), ("purple", "white"), ("tan", "brown")),
            pattern=("soft",),
            tilt=40.0,
        ),
        ObjectKind(
            Noun("book", "books"),
            shape="book",
            texture="lines",
            period=3.5,
            colours=(("red", "tan"), ("blue", "yellow"), ("brown", "tan"), ("purple", "white")),
            tilt=25.0,
        ),
    )
}
"""Object classes by name."""

STUFF: dict[str, StuffKind] = {
    kind.noun.singular: kind
    for kind in (
        StuffKind(
            Noun("grass", article=""),
            texture="blades",
            period=1.0,
            colours=((("green", "fresh"), "green", "darker"), (("dry", "yellow"), "tan", "green")),
            places=("on", "in"),
            synonyms=(Noun("lawn"), Noun("meadow")),
        ),
        StuffKind(
            Noun("water", article=""),
            texture="waves",
            period=5.0,
            colours=((("blue", "deep"), "blue", "lighter"), (("gray", "cold"), "gray", "sky")),
            places=("in", "by", "near"),
            synonyms=(Noun("lake"), Noun("pond")),
        ),
        StuffKind(
            Noun("sand", article=""),
            texture="speckle",
            period=1.0,
            colours=((("yellow", "warm"), "tan", "yellow"), (("brown", "wet"), "brown", "tan")),
            places=("on",),
            synonyms=(Noun("beach"),),
        ),
        StuffKind(
            Noun("snow", article=""),
            texture="flakes",
            period=1.0,
            colours=((("white", "deep"), "white", "sky"), (("fresh", "cold"), "white", "gray")),
            places=("in", "on"),
            synonyms=(),
        ),
        StuffKind(
            Noun("wall"),
            texture="bricks",
            period=5.0,
            colours=(
                (("red", "long"), "brown", "tan"),
                (("gray", "high"), "gray", "lighter"),
                (("brown", "old"), "brown", "darker"),
            ),
            places=("against", "by", "near"),
            synonyms=(),
            tilt=4.0,
        ),
        StuffKind(
            Noun("sky", article="the"),
            texture="clouds",
            period=1.0,
            colours=(
                (("blue", "cloudy"), "sky", "white"),
                (("gray", "dark"), "gray", "white"),
                (("orange", "evening"), "orange", "pink"),
            ),
            places=("under", "against", "in"),
        ),
        StuffKind(
            Noun("wood", article=""),
            texture="planks",
            period=1.0,
            colours=((("brown", "dark"), "brown", "tan"), (("pale", "smooth"), "tan", "brown")),
            places=("on",),
        ),
        StuffKind(
            Noun("gravel", article=""),
            texture="pebbles",
            period=1.0,
            colours=((("gray", "rough"), "gray", "white"), (("brown", "dry"), "brown", "gray")),
            places=("on",),
            synonyms=(Noun("stones", article=""),),
        ),
    )
}
"""Stuff classes by name."""
