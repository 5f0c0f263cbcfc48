import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ovs_jax.data.pipeline import augmentation, training_batches
from ovs_jax.text.entities import CorrectedRule, EntityVocabulary
from ovs_jax.text.tokenizers import Tokenizer
from tests.data.numbered import (
    CONFIG,
    EVERYTHING,
    Numbered,
    assert_equal,
    numbers,
    open_batches,
    take,
)


def test_a_batch_holds_what_was_asked_for(tokenizer: Tokenizer) -> None:
    with open_batches(Numbered(), tokenizer) as batches:
        batch = next(batches)
    assert tuple(batch) == EVERYTHING
    for name in ("image", "cross_image"):
        assert batch[name].shape == (6, 8, 8, 3)
        assert batch[name].dtype == np.float32
    for name in ("caption", "question", "answer", "cross_entity"):
        assert batch[name]["ids"].shape == batch[name]["mask"].shape == (6, 12)
        assert batch[name]["ids"].dtype == np.int32
        assert batch[name]["mask"].dtype == bool
    assert batch["prompts"]["ids"].shape == (6, 3, 12)


def test_texts_tell_of_their_images(tokenizer: Tokenizer) -> None:
    source = Numbered()
    captions = source.captions()
    rule = CorrectedRule()
    dog = load_ids(tokenizer, "dog")
    with open_batches(source, tokenizer, replace(CONFIG, augmentation="none")) as batches:
        for batch in take(batches, 8):
            for row, (own, cross) in enumerate(
                zip(numbers(batch), numbers(batch, "cross_image"), strict=True)
            ):
                expected, _ = tokenizer([captions[own]], length=12)
                np.testing.assert_array_equal(batch["caption"]["ids"][row], expected[0])
                assert (batch["question"]["ids"][row] == tokenizer.mask_id).sum() == 2
                has_dog = "dog" in captions[own]
                assert (dog in batch["answer"]["ids"][row]) == has_dog
                assert (dog in batch["caption"]["ids"][row]) == has_dog
                shared = set(rule.entities(captions[own])) & set(rule.entities(captions[cross]))
                prompts, _ = tokenizer([f"A photo of {name}" for name in shared], length=12)
                assert batch["cross_entity"]["ids"][row].tolist() in prompts.tolist()
                assert cross != own


def load_ids(tokenizer: Tokenizer, word: str) -> int:
    ids, _ = tokenizer([word], length=3)
    return int(ids[0, 1])


def test_captions_without_entities_are_left_out_only_where_entities_are_needed(
    tokenizer: Tokenizer,
) -> None:
    with open_batches(Numbered(), tokenizer, replace(CONFIG, augmentation="none")) as batches:
        assert batches.records == 36
        assert batches.steps_per_epoch == 6
        seen = {n for batch in take(batches, 6) for n in numbers(batch)}
        assert seen == {i for i in range(40) if i % 10 != 9}
    plain = replace(CONFIG, augmentation="none", fields=("image",), batch_size=8)
    with open_batches(Numbered(), tokenizer, plain) as batches:
        assert batches.records == 40
        assert {n for batch in take(batches, 5) for n in numbers(batch)} == set(range(40))


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(tokenizer: Tokenizer) -> None:
    with open_batches(Numbered(), tokenizer) as one, open_batches(Numbered(), tokenizer) as two:
        assert_equal(take(one, 8), take(two, 8))
    plain = replace(CONFIG, augmentation="none")
    with (
        open_batches(Numbered(), tokenizer, plain) as one,
        open_batches(Numbered(), tokenizer, replace(plain, seed=4)) as two,
    ):
        assert [numbers(b) for b in take(one, 3)] != [numbers(b) for b in take(two, 3)]


def test_threads_change_nothing(tokenizer: Tokenizer) -> None:
    threaded = replace(CONFIG, threads=3, prefetch=4)
    with (
        open_batches(Numbered(), tokenizer) as one,
        open_batches(Numbered(), tokenizer, threaded) as two,
    ):
        assert_equal(take(one, 10), take(two, 10))


def test_more_fields_leave_the_others_as_they_were(tokenizer: Tokenizer) -> None:
    few = replace(CONFIG, fields=("image", "question"))
    with (
        open_batches(Numbered(), tokenizer) as one,
        open_batches(Numbered(), tokenizer, few) as two,
    ):
        for large, small in zip(take(one, 3), take(two, 3), strict=True):
            assert_equal({name: large[name] for name in small}, small)


def test_remembered_records_give_the_same_batches(tokenizer: Tokenizer) -> None:
    remembering = replace(CONFIG, remember=True)
    with (
        open_batches(Numbered(), tokenizer) as one,
        open_batches(Numbered(), tokenizer, remembering) as two,
    ):
        assert_equal(take(one, 9), take(two, 9))


def test_prompts_can_name_entities_only(tokenizer: Tokenizer) -> None:
    source = Numbered()
    config = replace(CONFIG, prompt_words="entities", prompt_count=2, augmentation="none")
    config = replace(config, fields=("image", "prompts"), batch_size=40)
    vocabulary = EntityVocabulary(("cat", "bus"))
    with open_batches(source, tokenizer, config, vocabulary=vocabulary) as batches:
        assert batches.records == 40  # captions without an entity stay, and repeat themselves
        batch = next(batches)
    dog, cat = load_ids(tokenizer, "dog"), load_ids(tokenizer, "cat")
    for number, prompts in zip(numbers(batch), batch["prompts"]["ids"].tolist(), strict=True):
        caption = source.captions()[number]
        repeated = tokenizer([caption], length=12)[0][0].tolist()
        count = ("cat" in caption) + ("bus" in caption)
        assert prompts[count:] == [repeated] * (2 - count)
        assert sum(cat in prompt for prompt in prompts[:count]) == ("cat" in caption)
        assert not any(dog in prompt for prompt in prompts[:count])


def test_a_stream_restored_from_a_checkpoint_goes_on_exactly(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with open_batches(Numbered(), tokenizer) as batches:
        take(batches, 4)
        with ocp.CheckpointManager(tmp_path) as manager:
            saved = ocp.args.Composite(data=grain.checkpoint.CheckpointSave(batches))
            manager.save(4, args=saved)
        expected = take(batches, 5)
    for threads in (0, 2):
        with open_batches(Numbered(), tokenizer, replace(CONFIG, threads=threads)) as again:
            take(again, 1)  # whatever was read before does not matter
            with ocp.CheckpointManager(tmp_path) as manager:
                restored = ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(again))
                manager.restore(4, args=restored)
            assert again.step == 4
            assert_equal(take(again, 5), expected)


def test_the_state_is_json_and_belongs_to_its_stream(tokenizer: Tokenizer) -> None:
    with open_batches(Numbered(), tokenizer) as batches:
        take(batches, 2)
        state = json.loads(json.dumps(batches.get_state()))
        expected = take(batches, 2)
        batches.set_state(state)
        assert_equal(take(batches, 2), expected)
    for other in (Numbered(50), Numbered()):
        config = CONFIG if len(other) == 50 else replace(CONFIG, seed=9)
        with (
            open_batches(other, tokenizer, config) as batches,
            pytest.raises(ValueError, match="resume with the same data, batch size and seed"),
        ):
            batches.set_state(state)


def test_workers_give_the_same_stream_and_can_change_in_number(tokenizer: Tokenizer) -> None:
    source = Numbered(bad=(3, 4))
    lenient = replace(CONFIG, max_bad_share=1.0)
    with open_batches(source, tokenizer, lenient) as batches:
        expected = take(batches, 6)
        counted = batches.bad
    with open_batches(source, tokenizer, replace(lenient, workers=2)) as batches:
        found = take(batches, 3)
        state = batches.get_state()
        found += take(batches, 3)
        assert batches.bad == counted
    assert_equal(found, expected)
    with open_batches(source, tokenizer, lenient) as batches:
        batches.set_state(state)
        assert_equal(take(batches, 3), expected[3:])


def test_a_bad_record_is_replaced_counted_and_logged(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(CONFIG, augmentation="none", fields=("image", "caption"), max_bad_share=1.0)
    with open_batches(Numbered(), tokenizer, config) as batches:
        whole = [numbers(batch) for batch in take(batches, 6)]
    step, slot = next((s, w.index(7)) for s, w in enumerate(whole[:5]) if 7 in w)
    with (
        caplog.at_level(logging.WARNING),
        open_batches(Numbered(bad=(7,)), tokenizer, config) as batches,
    ):
        found = [numbers(batch) for batch in take(batches, 6)]
        assert batches.bad == {"missing image": 1}
    whole[step][slot] = whole[step + 1][slot]
    assert found == whole
    assert f"step {step}: passed over photo7: missing image" in caplog.text


def test_too_many_bad_records_stop_the_run_with_their_reasons(tokenizer: Tokenizer) -> None:
    few = replace(CONFIG, max_bad_share=0.2)
    with open_batches(Numbered(bad=(3,)), tokenizer, few) as batches:
        take(batches, 12)
    source = Numbered(bad=tuple(range(20)))
    with (
        open_batches(source, tokenizer, few) as batches,
        pytest.raises(ValueError, match=r"more than max_bad_share 0.2: {'missing image': \d+}"),
    ):
        take(batches, 12)


@pytest.mark.parametrize("workers", [0, 1])
def test_data_without_a_usable_record_is_given_up(tokenizer: Tokenizer, workers: int) -> None:
    source = Numbered(bad=tuple(range(40)))
    with (
        open_batches(source, tokenizer, replace(CONFIG, workers=workers)) as batches,
        pytest.raises(ValueError, match="32 records in a row cannot be used; the last was photo"),
    ):
        next(batches)


@dataclass(frozen=True)
class Odd(Numbered):
    """One record is replaced by something else."""

    odd: Any = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = super().__getitem__(index)
        return record | self.odd if index == 5 else record


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"image": b"none"}, "not an image"),
        ({"image": np.zeros((4, 4), np.uint8)}, "image of wrong kind"),
        ({"image": np.zeros((4, 4, 3), np.float32)}, "image of wrong kind"),
        ({"caption": " "}, "empty caption"),
        ({"caption": 3}, "caption is not text"),
    ],
)
def test_every_kind_of_bad_record_is_passed_over(
    tokenizer: Tokenizer, odd: dict[str, Any], reason: str
) -> None:
    config = replace(CONFIG, fields=("image", "caption"), max_bad_share=1.0)
    with open_batches(Odd(odd=odd), tokenizer, config) as batches:
        take(batches, 6)
        assert batches.bad == {reason: 1}


def test_impossible_streams_are_refused_with_the_reason(tokenizer: Tokenizer) -> None:
    class Bare:
        def __len__(self) -> int:
            return 9

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"picture": index}

    with pytest.raises(ValueError, match="source Bare: expected a method captions"):
        training_batches(Bare(), tokenizer, CONFIG)
    with (
        open_batches(Bare(), tokenizer, replace(CONFIG, fields=("image",))) as batches,
        pytest.raises(ValueError, match="of Bare: expected the fields image, caption and key"),
    ):
        next(batches)
    with pytest.raises(ValueError, match="batch_size 64 is more than the 36 usable records"):
        training_batches(Numbered(), tokenizer, replace(CONFIG, batch_size=64))
    sea = replace(Numbered(), count=0)
    with pytest.raises(ValueError, match=r"none of 0 captions has an entity; .* \['people'"):
        training_batches(sea, tokenizer, CONFIG)
    maskless = replace(tokenizer, mask_token=None)
    with pytest.raises(ValueError, match="'question' needs a tokenizer with a mask token"):
        training_batches(Numbered(), maskless, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": ("image", "text")}, r"fields: expected some of \('image', 'cross_image'"),
        ({"fields": ()}, "fields: expected"),
        ({"fields": ("image", "image")}, "each once"),
        ({"augmentation": "stage3"}, r"augmentation: .* got 'stage3'"),
        ({"prompt_words": "verbs"}, r"prompt_words: .* got 'verbs'"),
        ({"entity_rule": "new"}, r"entity_rule: expected one of .* got 'new'"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"text_length": 1}, "text_length: expected at least 2"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"process_index": 1}, "process_index: expected 0 to 0, got 1"),
        ({"slices": 4}, "slices: expected a divisor of batch_size 6, got 4"),
        ({"slices": -1}, "slices: expected at least 0"),
        ({"process_count": 4}, "batch_size: expected a multiple of process_count 4, got 6"),
        ({"max_bad_share": 1.5}, "max_bad_share: expected 0 to 1, got 1.5"),
    ],
)
def test_wrong_settings_name_their_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


def test_augmentations_are_named() -> None:
    image = np.full((20, 30, 3), 9, np.uint8)
    for name in ("stage1", "stage2", "none"):
        assert augmentation(name, 16)(image, np.random.default_rng(0)).shape == (16, 16, 3)
    with pytest.raises(ValueError, match="augmentation: expected one of"):
        augmentation("all", 16)


def test_a_closed_stream_says_so(tokenizer: Tokenizer) -> None:
    with open_batches(Numbered(), tokenizer) as batches:
        next(batches)
    with pytest.raises(ValueError, match="closed"):
        next(batches)
