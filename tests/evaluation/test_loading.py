import threading
import time

import numpy as np
import pytest

from ovs_jax.data.records import BadRecordError
from ovs_jax.evaluation.loading import decoded_image, image_count, load_ahead, naming_record


def test_items_come_in_order_and_only_a_few_are_loaded_ahead():
    started = []

    def load(index):
        started.append(index)
        time.sleep(0.001 * (index % 3))
        return index * 10

    found = load_ahead(load, range(1000))
    assert [next(found) for _ in range(3)] == [0, 10, 20]
    found.close()
    assert len(started) < 100
    assert not [t for t in threading.enumerate() if t.name.startswith("evaluation")]
    assert list(load_ahead(load, range(40))) == [i * 10 for i in range(40)]


def test_an_error_is_raised_when_its_turn_comes():
    def load(index):
        if index == 2:
            raise ValueError("two")
        return index

    found = load_ahead(load, range(5))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(found)


def test_what_is_wrong_with_a_record_is_told_with_its_name():
    def load(record):
        with naming_record(4) as named:
            if record is None:
                raise BadRecordError("a.jpg", "missing image")
            return decoded_image(record, named(record))

    with pytest.raises(ValueError, match=r"image 'number 4': a\.jpg: missing image"):
        load(None)
    with pytest.raises(ValueError, match="image 'number 4': 'key'"):
        load({})
    with pytest.raises(ValueError, match=r"image 'photo': .*got NoneType"):
        load({"key": "photo", "image": None})


def test_a_limit_beyond_the_source_takes_all_of_it():
    source = [{"image": np.zeros((1, 1, 3), np.uint8)}] * 3
    assert [image_count(source, limit) for limit in (None, 2, 9)] == [3, 2, 3]
    with pytest.raises(ValueError, match="at least one image, got 0"):
        image_count([], None)
