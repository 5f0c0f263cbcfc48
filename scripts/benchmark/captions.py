"""Made captions in any number: of the length of web captions, two thirds of them with entities."""

from collections.abc import Iterator

import numpy as np

from ovs_jax.data.entity_index import BLOCK
from ovs_jax.text.entities import published_vocabulary

_FILL = """
beautiful old view of the in front with a near under street sunset vintage style young modern
isolated on white background free stock illustration design summer day city green blue red for sale
best photo happy large small morning event new year
"""


def made_captions(count: int, *, seed: int = 0) -> Iterator[list[str]]:
    """Blocks of captions; a few entities are frequent and most are rare, as in CC12M."""
    entities = np.array(published_vocabulary().filter_words)
    chances = 1 / np.arange(1, len(entities) + 1)
    chances /= chances.sum()
    fill = np.array(_FILL.split())
    for first in range(0, count, BLOCK):
        rng = np.random.default_rng((seed, first))
        size = min(BLOCK, count - first)
        lengths = rng.integers(6, 16, size)
        words = fill[rng.integers(len(fill), size=(size, 16))].astype(object)
        named = rng.random((size, 3)) < (0.5, 0.25, 0.1)
        for column, chosen in enumerate(named.T):
            words[chosen, 2 + 2 * column] = rng.choice(entities, chosen.sum(), p=chances)
        yield [
            " ".join(row[:length]) + "."
            for row, length in zip(words, lengths.tolist(), strict=True)
        ]
