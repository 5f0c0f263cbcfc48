"""Texts are cut to what a batch needs, in all processes alike."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data.pipeline import TrainingBatches
from ovs_jax.data.pipeline_config import StreamConfig
from ovs_jax.data.text_lengths import (
    LENGTHS,
    cut_texts,
    cut_to_fit,
    fitting_length,
    needed_length,
)
from ovs_jax.text.tokenizers import Tokenizer
from tests.data.numbered import CONFIG, Numbered, open_batches, take


@given(st.integers(0, 90), st.integers(2, 90))
def test_the_smallest_length_that_holds_the_longest_text_is_taken(needed: int, most: int) -> None:
    length = fitting_length(needed, most=most)
    assert length == most or (length in LENGTHS and needed <= length < most)
    assert not any(needed <= other < length for other in LENGTHS)


def test_cut_texts_keep_every_word_and_images_are_left_alone(tokenizer: Tokenizer) -> None:
    config = replace(CONFIG, text_length=40)
    with open_batches(Numbered(), tokenizer, config) as whole:
        batches = take(whole, 3)
    with open_batches(Numbered(), tokenizer, replace(config, text_lengths="buckets")) as cut:
        for batch, other in zip(take(cut, 3), batches, strict=True):
            length = batch["caption"]["ids"].shape[-1]
            assert length == fitting_length(needed_length(other), most=40) < 40
            np.testing.assert_array_equal(batch["image"], other["image"])
            for name in ("caption", "prompts", "question", "answer", "cross_entity"):
                assert not other[name]["mask"][..., length:].any()
                for part, array in batch[name].items():
                    np.testing.assert_array_equal(array, other[name][part][..., :length])


class Alone:
    """A process's part of a batch whose longest text it is told."""

    mixture: Any = None
    seed, slots = 0, range(2)

    fields = ("caption",)

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.mixture = type("Mixture", (), {"records": 4, "steps_per_epoch": 2})()

    def __call__(self, step: int) -> Any:
        mask = np.arange(77) < np.array([3, self.longest])[:, None]
        return {"caption": {"ids": mask.astype(np.int32), "mask": mask}}, []


def test_all_processes_take_the_length_that_the_longest_text_of_any_needs() -> None:
    config = StreamConfig(4, threads=0)
    said: list[int] = []

    def agree(number: int) -> int:
        said.append(number)
        return max(number, 30)  # what another process needs

    for longest, expected in ((9, 32), (30, 32), (40, 48)):
        finish = partial(cut_to_fit, most=77, agree=agree)
        batches = TrainingBatches(Alone(longest), config, finish=finish)
        assert next(batches)["caption"]["mask"].shape == (2, expected)
    assert said == [9, 30, 40]


def test_a_batch_without_texts_needs_no_tokens() -> None:
    batch = {"image": np.zeros((2, 4, 4, 3), np.float32)}
    assert needed_length(batch) == 0
    assert list(cut_texts(batch, 16)) == ["image"]


def test_another_way_to_pad_is_refused() -> None:
    with pytest.raises(ValueError, match=r"text_lengths: .*'buckets'.* got 'short'"):
        replace(CONFIG, text_lengths="short")
