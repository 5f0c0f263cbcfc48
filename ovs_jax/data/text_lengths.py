"""How far the texts of a batch are padded.

Captions are far shorter than the published 77 tokens, and padding costs as much to encode as words.
A batch can therefore be cut to the smallest of a few lengths that still holds its longest text;
every length is a program of its own, compiled when it is first met. With padding masked wherever
tokens meet, what a text becomes does not depend on it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ovs_jax.typing import Batch

LENGTHS = (16, 24, 32, 48, 77)
"""The lengths that a batch may be cut to, where they are shorter than ``data.text_length``."""


def cut_to_fit(batch: Batch, *, most: int, agree: Callable[[int], int] = int) -> Batch:
    """The batch, its texts cut to the smallest of `LENGTHS` that holds them.

    Args:
      batch: one process's part.
      most: the length that its texts are padded to.
      agree: gives the largest of the numbers that the processes of a run call it with; no process
        sees the parts of the others.
    """
    return cut_texts(batch, fitting_length(agree(needed_length(batch)), most=most))


def needed_length(batch: Batch) -> int:
    """The tokens of the longest text of a batch, start and end included; 0 without texts."""
    return max((int(text["mask"].sum(-1).max()) for text in _texts(batch).values()), default=0)


def fitting_length(needed: int, *, most: int) -> int:
    """The smallest of `LENGTHS` that holds a text, or the most there may be.

    Args:
      needed: tokens of the longest text.
      most: the length that texts are padded to before they are cut.
    """
    return next((length for length in LENGTHS if needed <= length < most), most)


def cut_texts(batch: Batch, length: int) -> Batch:
    """The batch with the first tokens of every text only."""
    cut = {
        name: {part: np.ascontiguousarray(array[..., :length]) for part, array in text.items()}
        for name, text in _texts(batch).items()
    }
    return {**batch, **cut}


def _texts(batch: Batch) -> dict[str, Mapping[str, Any]]:
    return {name: value for name, value in batch.items() if isinstance(value, Mapping)}
