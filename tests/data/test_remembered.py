import pickle
from typing import Any

import pytest

from ovs_jax.data.records import BadRecordError, CaptionSource
from ovs_jax.data.remembered import Remembered


class Counting:
    """Counts how often each record is asked for."""

    def __init__(self) -> None:
        self.asked = [0, 0, 0]

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.asked[index] += 1
        if index == 2:
            raise BadRecordError("2", "missing image")
        return {"image": b"", "caption": str(index), "key": str(index)}

    def captions(self) -> list[str]:
        return ["0", "1", "2"]


def test_a_good_record_is_read_once_and_a_bad_one_again() -> None:
    source = Counting()
    remembered = Remembered(source)
    assert isinstance(remembered, CaptionSource)
    for _ in range(3):
        assert remembered[1]["caption"] == "1"
        with pytest.raises(BadRecordError):
            remembered[2]
    assert source.asked == [0, 1, 3]
    assert len(remembered) == 3
    assert remembered.captions() == ["0", "1", "2"]


def test_workers_begin_without_memories() -> None:
    remembered = Remembered(Counting())
    remembered[0]
    copy = pickle.loads(pickle.dumps(remembered))
    assert copy[0] == remembered[0]
    assert copy.source.asked == [2, 0, 0]


def test_a_source_without_captions_is_named() -> None:
    with pytest.raises(ValueError, match="source list: expected a method captions"):
        Remembered([{"image": b""}]).captions()
