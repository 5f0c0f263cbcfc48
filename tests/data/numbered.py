"""A source whose images tell which record they are, and streams of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ovs_jax.data.pipeline import PipelineConfig, TrainingBatches, training_batches
from ovs_jax.data.records import BadRecordError
from ovs_jax.text.tokenizers import Tokenizer

NAMES = ("dog", "cat", "bus", "sofa", "car")
EVERYTHING = (
    *("image", "caption", "prompts", "question", "answer", "cross_image", "cross_entity"),
)
CONFIG = PipelineConfig(
    batch_size=6, image_size=8, text_length=12, fields=EVERYTHING, threads=0, seed=3
)


@dataclass(frozen=True)
class Numbered:
    """Grey images whose brightness is their index, with captions of two entities or, every tenth,
    of none.
    """

    count: int = 40
    bad: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index in self.bad:
            raise BadRecordError(f"photo{index}", "missing image")
        image = np.full((10, 12, 3), index, np.uint8)
        return {"image": image, "caption": self.captions()[index], "key": f"photo{index}"}

    def captions(self) -> list[str]:
        return [
            "the sea" if i % 10 == 9 else f"a {NAMES[i % 5]} and a {NAMES[(i + 1) % 5]}"
            for i in range(self.count)
        ]


@dataclass(frozen=True)
class Recording(Numbered):
    """Notes which records are read."""

    read: set[int] = field(default_factory=set)

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read.add(index)
        return super().__getitem__(index)


@contextmanager
def open_batches(
    source: Any, tokenizer: Tokenizer, config: PipelineConfig = CONFIG, **options: Any
) -> Iterator[TrainingBatches]:
    batches = training_batches(source, tokenizer, config, **options)
    yield batches
    batches.close()


def take(batches: TrainingBatches, count: int) -> list[dict[str, Any]]:
    return [next(batches) for _ in range(count)]


def assert_equal(first: Any, second: Any) -> None:
    if isinstance(first, dict):
        assert list(first) == list(second)
        for name in first:
            assert_equal(first[name], second[name])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(first, second)


def numbers(batch: dict[str, Any], name: str = "image") -> list[int]:
    """Which records a batch of `Numbered` holds, from the brightness of its images."""
    return batch[name][:, 0, 0, 0].tolist()
