"""Data with thirteen kinds of damage is trained on to its end, and everything is counted."""

from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.images import decode_image
from ovs_jax.data.order import EpochOrder
from ovs_jax.data.pipeline import PipelineConfig, training_batches
from ovs_jax.data.records import BadRecordError
from ovs_jax.data.sources import PhotoCaptions, open_image_text
from ovs_jax.text.tokenizers import Tokenizer
from tests.data.damage import Damaged, damaged_folder, damaged_images, encoded

CONFIG = PipelineConfig(5, 8, 8, augmentation="none", threads=0, seed=1, max_bad_share=1.0)
BATCHES = 15
"""Three epochs."""


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotoCaptions, Damaged]:
    photos = []
    for number in range(16):
        image = Image.fromarray(np.full((9, 9, 3), 10 * number, np.uint8))
        photos.append((encoded(image, "JPEG"), f"a dog number {number}"))
    folder = tmp_path_factory.mktemp("damaged") / "photos"
    found = damaged_folder(folder, photos)
    source = open_image_text(folder)
    assert isinstance(source, PhotoCaptions)
    return source, found


def _all(source: Any, tokenizer: Tokenizer, config: PipelineConfig) -> tuple[list[Any], Counter]:
    with closing(training_batches(source, tokenizer, config)) as batches:
        return [next(batches)["image"] for _ in range(BATCHES)], batches.bad


def _fault(source: PhotoCaptions, index: int) -> str | None:
    record = source[index]
    try:
        decode_image(record["image"], name=record["key"])
    except BadRecordError as error:
        return error.reason
    return None


def test_every_damage_is_counted_by_reason_and_nothing_good_is_lost(
    damaged: tuple[PhotoCaptions, Damaged], tokenizer: Tokenizer
) -> None:
    source, found = damaged
    faults = [_fault(source, index) for index in range(len(source))]
    # Some damage shows when the folder is opened, the rest when it is read.
    assert Counter(source.dropped) + Counter(filter(None, faults)) == found.dropped
    assert found.dropped.total() >= 12
    assert [t for t, fault in zip(source.texts, faults, strict=True) if not fault] == found.kept

    # What must happen: a slot with a bad record takes the record of the same slot one step later.
    order = EpochOrder(len(source), 5, CONFIG.seed)
    expected: Counter[str] = Counter()
    used: list[list[int]] = []
    for step in range(BATCHES):
        used.append([])
        for slot in range(5):
            places = (order.record(step + attempt, slot) for attempt in range(BATCHES))
            for place in places:
                fault = faults[place]
                if fault is None:
                    used[-1].append(place)
                    break
                expected[fault] += 1
    images, bad = _all(source, tokenizer, CONFIG)
    assert bad == expected
    assert set(expected) == {reason for _, reason in damaged_images().values()}
    for batch, places in zip(images, used, strict=True):
        levels = [10.0 * int(source.texts[place].split()[-1]) for place in places]
        np.testing.assert_allclose(batch[:, 4, 4, 0], levels, atol=2)


def test_workers_and_threads_pass_over_the_same_records(
    damaged: tuple[PhotoCaptions, Damaged], tokenizer: Tokenizer
) -> None:
    images, bad = _all(damaged[0], tokenizer, CONFIG)
    others, counted = _all(damaged[0], tokenizer, replace(CONFIG, threads=2, prefetch=3))
    assert counted == bad
    np.testing.assert_array_equal(others, images)


def test_more_damage_than_allowed_stops_the_run_with_all_reasons(
    damaged: tuple[PhotoCaptions, Damaged], tokenizer: Tokenizer
) -> None:
    with pytest.raises(ValueError, match=r"more than max_bad_share 0.2: \{.*'not an image': \d"):
        _all(damaged[0], tokenizer, replace(CONFIG, max_bad_share=0.2))
