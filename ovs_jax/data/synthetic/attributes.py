"""The classes of the synthetic world in words that a model can take apart: kind and colour.

They take the place of CLIP's text embeddings, so that zero-shot experiments need no weights. In a
world whose kinds come in several `WorldConfig.colours`, `UNSEEN` classes have a kind and a colour
that others have, each with something else: whoever has learned the two words can recognise them.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float

from ovs_jax.data.synthetic.catalogue import COLOURS, OBJECTS, STUFF
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.text.class_splits import ClassSplit, split_classes
from ovs_jax.text.prompts import synonyms
from ovs_jax.typing import ClassSet

UNSEEN = ("blue umbrella", "purple kite", "red ball", "green book")
"""Classes without training masks in zero-shot experiments."""
BODIES = ("red", "yellow", "green", "blue", "purple")
"""The colours of objects in zero-shot experiments."""
SPLIT = "synthetic"
"""The name of the division that holds them out."""
COMMON = 0.9
"""Share of an embedding's squared length that all classes have in common. Texts of CLIP are as much
alike; were classes further apart, scores would be certain before segments have learned the words.
"""

_KINDS = {
    noun.singular: kind.noun.singular
    for kind in (*OBJECTS.values(), *STUFF.values())
    for noun in (kind.noun, *kind.synonyms)
}
ATTRIBUTES = (
    "any",
    *(f"kind: {kind}" for kind in dict.fromkeys(_KINDS.values())),
    *(f"colour: {colour}" for colour in COLOURS),
)
"""What each place of a class embedding says."""
_PLACES = {name: place for place, name in enumerate(ATTRIBUTES)}


def embed(names: Sequence[str]) -> Float[np.ndarray, "c e"]:
    """Describes classes of the synthetic world.

    Args:
      names: kinds of the catalogue or their synonyms, with a colour before them or not, such as
        ``blue umbrella`` and ``grass``; several with commas between them are averaged.

    Returns:
      For each a vector of length one: what all classes have in common, the kind and the colour.
      Places are named by `ATTRIBUTES`.

    Raises:
      ValueError: a word that the synthetic world does not know; the nearest is suggested.
    """
    rows = []
    for name in names:
        mean = np.mean([_described(part, where=name) for part in synonyms(name)], axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.asarray(rows, np.float32).reshape(len(names), len(ATTRIBUTES))


def world_split(config: WorldConfig) -> ClassSplit:
    """The classes of a world, of which those in `UNSEEN` have no training masks."""
    present = [name for name in UNSEEN if name in config.class_names]
    return split_classes(ClassSet(SPLIT, config.class_names), unseen=present)


def _described(name: str, *, where: str) -> Float[np.ndarray, " e"]:
    colour, _, kind = name.rpartition(" ")
    for word, known in ((kind, _KINDS), (colour, COLOURS)):
        if word not in known and (word or known is _KINDS):
            near = get_close_matches(word, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(
                f"class '{where}': without a text encoder only words of the synthetic world are "
                f"known, a kind ({', '.join(_KINDS)}) with a colour ({', '.join(COLOURS)}) before "
                f"it or not; got '{word}'{hint}"
            )
    own = np.zeros(len(ATTRIBUTES))
    own[_PLACES[f"kind: {_KINDS[kind]}"]] = 1
    if colour:
        own[_PLACES[f"colour: {colour}"]] = 1
    unit = (1 - COMMON) ** 0.5 * own / np.linalg.norm(own)
    unit[_PLACES["any"]] = COMMON**0.5
    return unit
