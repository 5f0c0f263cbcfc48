"""Processes that each read their own part of the data."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ovs_jax.text.tokenizers import Tokenizer
from tests.data.numbered import CONFIG, Numbered, Recording, open_batches, take


def test_processes_build_the_parts_of_the_same_batch(tokenizer: Tokenizer) -> None:
    sliced = replace(CONFIG, slices=3)
    with open_batches(Numbered(), tokenizer, sliced) as whole:
        expected = take(whole, 3)
    parts = []
    for process in range(3):
        config = replace(CONFIG, process_index=process, process_count=3)
        with open_batches(Numbered(), tokenizer, config) as batches:
            parts.append(take(batches, 3))
    for step, batch in enumerate(expected):
        images = np.concatenate([part[step]["image"] for part in parts])
        np.testing.assert_array_equal(images, batch["image"])
        answers = np.concatenate([part[step]["answer"]["ids"] for part in parts])
        np.testing.assert_array_equal(answers, batch["answer"]["ids"])


def test_processes_read_disjoint_ranges_whose_union_is_the_epoch(tokenizer: Tokenizer) -> None:
    """Partners too: what a process reads lies between its first and its last record."""
    read: list[set[int]] = []
    for process in range(2):
        source = Recording(count=40)
        config = replace(CONFIG, process_index=process, process_count=2)
        with open_batches(source, tokenizer, config) as batches:
            assert batches.steps_per_epoch == 6
            take(batches, 6)
        read.append(source.read)
    assert max(read[0]) < min(read[1])
    assert read[0] | read[1] == {i for i in range(40) if i % 10 != 9}


def test_a_run_goes_on_exactly_with_other_workers_and_with_the_slices_it_was_saved_with(
    tokenizer: Tokenizer,
) -> None:
    two = [replace(CONFIG, process_index=process, process_count=2) for process in range(2)]
    parts, states = [], []
    for config in two:
        with open_batches(Numbered(), tokenizer, config) as batches:
            take(batches, 2)
            states.append(json.loads(json.dumps(batches.get_state())))
            parts.append(take(batches, 4))
    expected = [np.concatenate([part[step]["image"] for part in parts]) for step in range(4)]
    whole = replace(CONFIG, slices=2, threads=2)
    with open_batches(Numbered(), tokenizer, whole) as batches:
        batches.set_state(states[1])
        for batch, images in zip(take(batches, 4), expected, strict=True):
            np.testing.assert_array_equal(batch["image"], images)
    three = replace(CONFIG, slices=2, process_index=2, process_count=3)
    with open_batches(Numbered(), tokenizer, three) as batches:
        batches.set_state(states[0])
        for batch, images in zip(take(batches, 4), expected, strict=True):
            np.testing.assert_array_equal(batch["image"], images[4:])
    with (
        open_batches(Numbered(), tokenizer) as batches,
        pytest.raises(ValueError, match=r"2 slices, this one into 1, .* resume with data.slices=2"),
    ):
        batches.set_state(states[0])
