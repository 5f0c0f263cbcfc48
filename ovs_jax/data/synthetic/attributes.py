"""What the classes of the synthetic world look like, in words: class embeddings without CLIP.

A class is described by its shape, its pattern and its colours, taken from the catalogue or, for
shapes and patterns, named here by what they have in common. `UNSEEN` classes combine what others
have one by one: whoever has learned the words from the others can recognise them.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float

from ovs_jax.data.synthetic.catalogue import COLOURS, OBJECTS, STUFF, ObjectKind, StuffKind
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.text.class_splits import ClassSplit, split_classes
from ovs_jax.text.prompts import synonyms
from ovs_jax.typing import ClassSet

UNSEEN = ("cow", "mushroom", "melon", "pillow", "sand")
"""Classes without training masks in zero-shot experiments."""
SPLIT = "synthetic"
"""The name of the division that holds them out."""
PALETTES = 1
"""Colour schemes of a class that count, as many as `WorldConfig` draws from."""

COMMON = 0.65
"""Share of an embedding's squared length that all classes have in common, as CLIP's prompts do."""

_BACKGROUND = ("background",)
_SHAPES: dict[str, tuple[str, ...]] = {
    "zebra": ("legs",),
    "cow": ("legs",),
    "giraffe": ("legs", "tall"),
    "dog": ("legs",),
    "cat": ("legs",),
    "sheep": ("legs", "oval"),
    "fish": ("oval",),
    "bus": ("box",),
    "umbrella": ("round", "stick"),
    "kite": ("box", "stick"),
    "ball": ("round",),
    "mushroom": ("round", "stick"),
    "pizza": ("round",),
    "donut": ("round",),
    "cake": ("box",),
    "mug": ("box",),
    "cactus": ("tall",),
    "melon": ("oval",),
    "pillow": ("box",),
    "book": ("box",),
}
_PATTERNS: dict[str, tuple[str, ...]] = {
    "stripes": ("striped",),
    "bands": ("striped",),
    "lines": ("striped",),
    "wedges": ("striped",),
    "planks": ("striped",),
    "fur": ("striped", "grainy"),
    "blades": ("striped", "grainy"),
    "tabby": ("striped", "wavy"),
    "zigzag": ("wavy",),
    "waves": ("wavy",),
    "windows": ("grid",),
    "plaid": ("grid",),
    "checks": ("grid",),
    "bricks": ("grid",),
    "dots": ("dotted",),
    "sprinkles": ("dotted",),
    "flakes": ("dotted", "grainy"),
    "speckle": ("grainy",),
    "pebbles": ("patched", "grainy"),
    "blotches": ("patched",),
    "cells": ("patched",),
    "clouds": ("patched",),
    "rings": ("ringed",),
    "curls": ("ringed", "grainy"),
    "scales": ("ringed",),
}
_COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "orange": ("red", "yellow"),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("red", "blue"),
    "pink": ("red", "white"),
    "brown": ("brown",),
    "tan": ("brown", "yellow"),
    "white": ("white",),
    "gray": ("white", "black"),
    "black": ("black",),
    "sky": ("blue", "white"),
}


def _words(table: dict[str, tuple[str, ...]], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([word for words in table.values() for word in words] + [*more]))


_BLOCKS: dict[str, tuple[str, ...]] = {
    "shape": _words(_SHAPES, *_BACKGROUND),
    "pattern": _words(_PATTERNS),
    "colour": _words(_COLOURS),
}
ATTRIBUTES = (
    "any",
    *(f"{block}: {word}" for block, words in _BLOCKS.items() for word in words),
)
"""What each place of a class embedding says."""


def embed(names: Sequence[str]) -> Float[np.ndarray, "c e"]:
    """Describes classes of the synthetic world.

    Args:
      names: class names of the catalogue, or their synonyms; several with commas between them are
        averaged.

    Returns:
      For each a vector of length one: what all classes have in common, then shape, pattern and
      colours, which count alike. Places are named by `ATTRIBUTES`.

    Raises:
      ValueError: a word that the synthetic world does not know; the nearest is suggested.
    """
    known = _vocabulary()
    rows = []
    for name in names:
        words = synonyms(name)
        unknown = [word for word in words if word not in known]
        if unknown:
            near = get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(
                f"class '{name}': without a text encoder only words of the synthetic world are "
                f"known ({', '.join(known)}), got '{unknown[0]}'{hint}"
            )
        mean = np.mean([_described(known[word]) for word in words], axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.asarray(rows, np.float32).reshape(len(names), len(ATTRIBUTES))


def world_split(config: WorldConfig) -> ClassSplit:
    """The classes of a world, of which those in `UNSEEN` have no training masks."""
    present = [name for name in UNSEEN if name in config.class_names]
    return split_classes(ClassSet(SPLIT, config.class_names), unseen=present)


def _vocabulary() -> dict[str, ObjectKind | StuffKind]:
    kinds: list[ObjectKind | StuffKind] = [*OBJECTS.values(), *STUFF.values()]
    return {noun.singular: kind for kind in kinds for noun in (kind.noun, *kind.synonyms)}


def _described(kind: ObjectKind | StuffKind) -> Float[np.ndarray, " e"]:
    if isinstance(kind, ObjectKind):
        shape, schemes = _SHAPES[kind.shape], kind.colours
    else:
        shape, schemes = _BACKGROUND, tuple(colours[1:] for colours in kind.colours)
    said = {
        "shape": _mixed([shape], _BLOCKS["shape"]),
        "pattern": _mixed([_PATTERNS[kind.texture]], _BLOCKS["pattern"]),
        # Marks may have the body's colour in another brightness.
        "colour": _mixed(
            [
                _COLOURS[colour]
                for body, mark in schemes[:PALETTES]
                for colour in (body, mark if mark in COLOURS else body)
            ],
            _BLOCKS["colour"],
        ),
    }
    own = np.concatenate([said[block] for block in _BLOCKS]) / len(_BLOCKS) ** 0.5
    return np.concatenate([[COMMON**0.5], (1 - COMMON) ** 0.5 * own])


def _mixed(each: Sequence[tuple[str, ...]], words: tuple[str, ...]) -> Float[np.ndarray, " n"]:
    """How often each word is said, as a vector of length one; several words share their weight."""
    counts = np.array(
        [sum(said.count(word) / len(said) for said in each) for word in words], np.float64
    )
    return counts / np.linalg.norm(counts)
