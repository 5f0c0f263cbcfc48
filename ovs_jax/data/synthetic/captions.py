"""Captions: every class that can be seen is named, and every optional word is true of the picture.

No caption says left or right, so a mirrored image keeps its caption.
"""

from collections.abc import Mapping, Sequence

from ovs_jax.data.synthetic.catalogue import OBJECTS, STUFF, Noun
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.draws import Draws
from ovs_jax.data.synthetic.scene import Region, Scene, SceneObject

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_LARGE, _SMALL = 0.2, 0.1  # shares of the image
_FULL = (
    "{things} {place}",
    "{things} {place}",
    "{place}, {things}",
    "there {be} {things} {place}",
    "a photo of {things} {place}",
    "{things} seen {place}",
)
_BEHIND = (
    "{things} with {stuff} behind",
    "{things} and {stuff}",
    "a photo of {things} and {stuff}",
)
_EMPTY = ("{stuff}", "only {stuff}", "nothing but {stuff}", "a photo of {stuff}", "just {stuff}")
_LINKS = ("and", "and", "next to", "beside", "near", "by")


def entity_words(config: WorldConfig) -> dict[str, str]:
    """Every word for a class that captions of this world may use, mapped to the class name.

    Singular, plural and synonyms; the words of a question's masks and of noun prompts.
    """
    words: dict[str, str] = {}
    kinds: Mapping = OBJECTS | STUFF
    for name in config.object_classes + config.stuff_classes:
        for noun in (kinds[name].noun, *kinds[name].synonyms):
            words |= {form: name for form in (noun.singular, noun.plural) if form}
    return words


def write_caption(scene: Scene, draws: Draws, config: WorldConfig) -> str:
    """Puts a scene into words, lower case and without a full stop.

    Args:
      scene: what is to be described.
      draws: the random stream of the words.
      config: rates of synonyms and optional words.

    Returns:
      A caption that names every class of the scene once.
    """
    stuff = [_stuff_phrase(region, draws, config) for region in scene.regions]
    joined = f" {draws.pick(_LINKS)} ".join(stuff)
    groups: dict[str, list[SceneObject]] = {}
    for item in scene.objects:
        groups.setdefault(item.name, []).append(item)
    if not groups:
        return draws.pick(_EMPTY).format(stuff=joined)
    phrases = [_thing_phrase(items, draws, config) for items in draws.shuffled([*groups.values()])]
    things = _enumerate(phrases)
    if draws.chance(0.25):
        return draws.pick(_BEHIND).format(things=things, stuff=joined)
    place = f"{draws.pick(STUFF[scene.regions[0].name].places)} {joined}"
    be = "are" if phrases[0].split()[0] in NUMBERS else "is"
    return draws.pick(_FULL).format(things=things, place=place, be=be)


def _enumerate(phrases: Sequence[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _noun(noun: Noun, synonyms: Sequence[Noun], draws: Draws, rate: float) -> Noun:
    return draws.pick(synonyms) if synonyms and draws.chance(rate) else noun


def _with_article(article: str, words: Sequence[str]) -> str:
    if article in ("a", "an"):
        article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words] if article else words)


def _stuff_phrase(region: Region, draws: Draws, config: WorldConfig) -> str:
    kind = STUFF[region.name]
    noun = _noun(kind.noun, kind.synonyms, draws, config.synonym_rate)
    words = [noun.singular]
    if draws.chance(config.attribute_rate):
        words.insert(0, draws.pick(region.adjectives))
    article = noun.article or ("the" if draws.chance(0.3) else "")
    return _with_article(article, words)


def _thing_phrase(items: Sequence[SceneObject], draws: Draws, config: WorldConfig) -> str:
    kind = OBJECTS[items[0].name]
    noun = _noun(kind.noun, kind.synonyms, draws, config.synonym_rate)
    words = []
    if draws.chance(config.attribute_rate):
        words += _size_words(items, draws)
    colours = {item.colour for item in items}
    if draws.chance(config.attribute_rate):
        options = list(kind.pattern)
        if len(colours) == 1 and len(kind.colours) > 1:
            options += colours
        words += [draws.pick(options)] if options else []
    if len(items) > 1:
        return " ".join([NUMBERS[len(items)], *words, noun.plural])
    phrase = _with_article(noun.article, [*words, noun.singular])
    if draws.chance(config.attribute_rate / 2):
        phrase += _position(items[0])
    return phrase


def _size_words(items: Sequence[SceneObject], draws: Draws) -> list[str]:
    areas = [item.pose.area for item in items]
    if min(areas) > _LARGE:
        return [draws.pick(("big", "large"))]
    if max(areas) < _SMALL:
        return [draws.pick(("small", "little"))]
    return []


def _position(item: SceneObject) -> str:
    x, y = abs(item.pose.x - 0.5), item.pose.y - 0.5
    if x < 0.12 and abs(y) < 0.12:
        return " in the middle"
    if x > 0.18 and abs(y) > 0.18:
        return " in a corner"
    if abs(y) > 0.18:
        return " at the top" if y < 0 else " at the bottom"
    return " at the side" if x > 0.2 else ""
