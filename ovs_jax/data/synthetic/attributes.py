"""What the classes of the synthetic world look like, in words: class embeddings without CLIP.

A class is described by its shape, its pattern and its two colours, taken from the catalogue or, for
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
PALETTES = 2
"""Colour schemes of a class that count, as many as `WorldConfig` draws from."""

_BACKGROUND = ("background",)
_SHAPES: dict[str, tuple[str, ...]] = {
    "zebra": ("legs",),
    "cow": ("legs",),
    "giraffe": ("legs", "tall"),
    "dog": ("legs",),
    "cat": ("legs",),
    "sheep": ("legs", "oval"),
    "fish": ("oval", "tail"),
    "bus": ("box", "wheels"),
    "umbrella": ("dome", "stick"),
    "kite": ("box", "tail"),
    "ball": ("round",),
    "mushroom": ("dome", "stick"),
    "pizza": ("round",),
    "donut": ("round", "hole"),
    "cake": ("box",),
    "mug": ("box", "hole"),
    "cactus": ("tall", "branches"),
    "melon": ("oval",),
    "pillow": ("box",),
    "book": ("box",),
}
_PATTERNS: dict[str, tuple[str, ...]] = {
    "stripes": ("striped",),
    "bands": ("striped",),
    "lines": ("striped",),
    "tabby": ("striped", "wavy"),
    "zigzag": ("wavy",),
    "waves": ("wavy",),
    "windows": ("grid",),
    "plaid": ("grid",),
    "checks": ("grid",),
    "bricks": ("grid", "striped"),
    "dots": ("dotted",),
    "sprinkles": ("dotted",),
    "blotches": ("patched",),
    "cells": ("patched",),
    "clouds": ("patched",),
    "pebbles": ("patched", "grainy"),
    "speckle": ("grainy",),
    "flakes": ("grainy", "dotted"),
    "rings": ("ringed",),
    "curls": ("ringed", "grainy"),
    "scales": ("ringed",),
    "wedges": ("rays",),
    "fur": ("streaked",),
    "blades": ("streaked",),
    "planks": ("streaked",),
}


def _words(table: dict[str, tuple[str, ...]], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([word for words in table.values() for word in words] + [*more]))


_BLOCKS: dict[str, tuple[str, ...]] = {
    "shape": _words(_SHAPES, *_BACKGROUND),
    "pattern": _words(_PATTERNS),
    "colour": tuple(COLOURS),
    "mark": tuple(COLOURS),
}
ATTRIBUTES = tuple(f"{block}: {word}" for block, words in _BLOCKS.items() for word in words)
"""What each place of a class embedding says."""


def embed(names: Sequence[str]) -> Float[np.ndarray, "c e"]:
    """Describes classes of the synthetic world.

    Args:
      names: class names of the catalogue, or their synonyms; several with commas between them are
        averaged.

    Returns:
      For each a vector of length one: shape, pattern, colour and colour of the marks, which count
      alike. Places are named by `ATTRIBUTES`.

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
    schemes = schemes[:PALETTES]
    chosen = {
        "shape": shape,
        "pattern": _PATTERNS[kind.texture],
        "colour": tuple(body for body, _ in schemes),
        # A mark may be the body's colour in another brightness.
        "mark": tuple(mark if mark in COLOURS else body for body, mark in schemes),
    }
    blocks = [
        _unit([chosen[block].count(word) for word in words]) for block, words in _BLOCKS.items()
    ]
    return _unit(np.concatenate(blocks))


def _unit(values: Sequence[int] | Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    vector = np.asarray(values, np.float64)
    return vector / np.linalg.norm(vector)
