from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data.mixture import ImageTextSet, divide, mix
from ovs_jax.data.pipeline import PipelineConfig, mixed_batches
from ovs_jax.text.tokenizers import Tokenizer
from tests.data.numbered import numbers

FIELDS = ("image", "caption", "cross_image", "cross_entity")
CONFIG = PipelineConfig(8, 4, 12, fields=FIELDS, augmentation="none", threads=0, seed=5)


@dataclass(frozen=True)
class Grey:
    """Images of one brightness each, counted on from a first."""

    first: int
    count: int
    caption: str = "a dog and a cat"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = np.full((4, 4, 3), self.first + index, np.uint8)
        return {"image": image, "caption": self.caption, "key": f"{self.first}+{index}"}

    def captions(self) -> list[str]:
        return [self.caption] * self.count


SETS = (ImageTextSet(Grey(0, 24), 1.0), ImageTextSet(Grey(100, 40), 3.0))


def _epoch(
    sets: Sequence[ImageTextSet], tokenizer: Tokenizer, config: PipelineConfig, steps: int
) -> list[dict[str, Any]]:
    with closing(mixed_batches(sets, tokenizer, config)) as batches:
        return [next(batches) for _ in range(steps)]


@given(st.integers(1, 300), st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=6))
def test_slots_are_divided_by_largest_remainder(slots: int, weights: list[float]) -> None:
    shares = divide(slots, weights)
    assert sum(shares) == slots
    exact = [slots * weight / sum(weights) for weight in weights]
    assert all(abs(share - true) < 1 + 1e-6 for share, true in zip(shares, exact, strict=True))


def test_every_slice_of_every_batch_has_the_slots_of_each_set(tokenizer: Tokenizer) -> None:
    assert divide(4, [1.0, 3.0]) == [1, 3]
    for batch in _epoch(SETS, tokenizer, replace(CONFIG, slices=2), 8):
        for name in ("image", "cross_image"):
            places = numbers(batch, name)
            first = [number >= 100 for number in places]
            assert first == [False, True, True, True] * 2
            assert all(n < 12 for n in places[:1])
            assert all(12 <= n < 24 for n in places[4:5])
            assert all(100 <= n < 120 for n in places[1:4])
            assert all(120 <= n < 140 for n in places[5:])


def test_each_set_goes_through_its_own_epochs(tokenizer: Tokenizer) -> None:
    with closing(mixed_batches(SETS, tokenizer, CONFIG)) as batches:
        assert batches.records == 64
        assert batches.steps_per_epoch == 8
        seen = [n for _ in range(12) for n in numbers(next(batches))]
    small, large = (Counter(n for n in seen if (n >= 100) == big) for big in (False, True))
    assert small == Counter(range(24))  # 2 a batch: its first epoch ends with the twelfth
    assert set(large) <= set(range(100, 140))
    assert set(large.values()) <= {1, 2}  # 6 a batch, 36 an epoch: it has done two
    assert large.total() == 72


def test_processes_and_resuming_see_the_same_mixture(tokenizer: Tokenizer) -> None:
    whole = _epoch(SETS, tokenizer, replace(CONFIG, slices=2), 5)
    for process in range(2):
        config = replace(CONFIG, process_index=process, process_count=2)
        with closing(mixed_batches(SETS, tokenizer, config)) as batches:
            next(batches)
            state = batches.get_state()
        with closing(mixed_batches(SETS, tokenizer, config)) as batches:
            batches.set_state(state)
            for batch in whole[1:]:
                part = slice(4 * process, 4 * process + 4)
                np.testing.assert_array_equal(next(batches)["image"], batch["image"][part])
    other = (SETS[0], replace(SETS[1], weight=1.0))
    with (
        closing(mixed_batches(other, tokenizer, replace(CONFIG, slices=2))) as batches,
        pytest.raises(ValueError, match="expected the state of a stream with"),
    ):
        batches.set_state(state)


def test_without_weights_sets_have_the_share_of_their_records() -> None:
    sets = [ImageTextSet(Grey(0, count)) for count in (30, 100, 70)]
    assert mix(sets, batch_size=20, slices=1, seed=0).shares == (3, 10, 7)


def test_each_set_has_its_own_prompts(tokenizer: Tokenizer) -> None:
    sets = [
        ImageTextSet(Grey(0, 8, "a dog on sea"), prompt_words=words)
        for words in ("nouns", "entities", "none")
    ]
    config = replace(CONFIG, fields=("prompts",), batch_size=3, prompt_count=2)
    (batch,) = _epoch(sets, tokenizer, config, 1)
    dog, sea = (int(tokenizer([word], length=3)[0][0, 1]) for word in ("dog", "sea"))
    caption = tokenizer(["a dog on sea"], length=12)[0][0].tolist()
    nouns, entities, none = batch["prompts"]["ids"].tolist()
    assert sorted((dog in prompt, sea in prompt) for prompt in nouns) == [
        (False, True),
        (True, False),
    ]
    assert [dog in prompt and sea not in prompt for prompt in entities] == [True, False]
    assert entities[1] == caption
    assert none == [caption, caption]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], "expected at least one set"),
        ([ImageTextSet(Grey(0, 9), 1.0), ImageTextSet(Grey(0, 9), 99.0)], "set 0 of .* gets none"),
        ([ImageTextSet(Grey(0, 9), 1.0), ImageTextSet(Grey(0, 9))], "for every set or for none"),
        ([ImageTextSet(Grey(0, 9)), ImageTextSet(Grey(0, 3), 0.0)], None),
        ([ImageTextSet(Grey(0, 30), 1.0), ImageTextSet(Grey(0, 2), 1.0)], "more than the 2 usable"),
    ],
)
def test_what_cannot_be_mixed_is_refused(sets: list[ImageTextSet], message: str | None) -> None:
    if message is None:
        assert mix(sets, batch_size=8, slices=1, seed=0).shares == (6, 2)
        return
    with pytest.raises(ValueError, match=message):
        mix(sets, batch_size=8, slices=1, seed=0)


def test_a_set_names_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match="weight: expected a finite number of at least 0, got -1"):
        ImageTextSet(Grey(0, 1), -1.0)
    with pytest.raises(ValueError, match=r"prompt_words: expected one of .*, got 'verbs'"):
        ImageTextSet(Grey(0, 1), prompt_words="verbs")
    with pytest.raises(ValueError, match="slices: expected a divisor of batch_size 8, got 3"):
        mix(SETS, batch_size=8, slices=3, seed=0)
