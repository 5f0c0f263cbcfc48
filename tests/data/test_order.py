import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data.order import EpochOrder, Purpose, generator


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**40))
def test_an_epoch_has_no_record_twice_and_leaves_out_less_than_a_batch(
    records: int, batch_size: int, seed: int
) -> None:
    if batch_size > records:
        return
    order = EpochOrder(records, batch_size, seed)
    for epoch in range(2):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = [order.record(step, slot) for step in steps for slot in range(batch_size)]
        assert len(set(seen)) == len(seen) > records - batch_size
        assert set(seen) <= set(range(records))


@given(st.integers(1, 90), st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_slot_groups_draw_from_contiguous_ranges_that_together_are_the_records(
    records: int, share: int, slices: int, seed: int
) -> None:
    if share * slices > records:
        return
    order = EpochOrder(records, share * slices, seed, slices)
    ranges = [order.bounds(slot) for slot in range(0, order.batch_size, share)]
    assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == records
    for slot in range(order.batch_size):
        first, end = order.bounds(slot)
        seen = [order.record(step, slot) for step in range(2 * order.steps_per_epoch)]
        assert all(first <= record < end for record in seen)
    whole = [
        order.record(step, slot)
        for step in range(order.steps_per_epoch)
        for slot in range(order.batch_size)
    ]
    # Of a range, less than a share is left over, and one record where ranges differ in length.
    assert len(set(whole)) == len(whole) > records - slices * (share + 1)


def test_slices_and_sets_are_shuffled_apart() -> None:
    def records(**options: int) -> tuple[int, ...]:
        order = EpochOrder(64, 32, 0, **options)
        return tuple(order.record(0, slot) - order.bounds(slot)[0] for slot in range(32))

    first, second = records(slices=2)[:16], records(slices=2)[16:]
    assert len({first, second, records(stream=1)[:16], records(stream=2)[:16]}) == 4
    with pytest.raises(ValueError, match="slices: expected a divisor of batch_size 6, got 4"):
        EpochOrder(64, 6, 0, slices=4)


def test_an_order_is_the_same_after_many_epochs_and_in_a_copy() -> None:
    order = EpochOrder(20, 5, 3, slices=5)
    first = [order.record(0, slot) for slot in range(5)]
    for step in range(60):
        order.record(step, 0)
    assert [order.record(0, slot) for slot in range(5)] == first
    copied = pickle.dumps(order)
    assert len(copied) < 400  # without the permutations
    assert [pickle.loads(copied).record(0, slot) for slot in range(5)] == first


def test_epochs_and_seeds_shuffle_differently() -> None:
    def records(seed: int, epoch: int) -> list[int]:
        return [EpochOrder(50, 50, seed).record(epoch, slot) for slot in range(50)]

    orders = [records(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert records(1, 1) == orders[3]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 8 is more than the 5 usable records"):
        EpochOrder(5, 8, 0)
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        EpochOrder(5, 0, 0)


def test_generators_differ_by_purpose_and_place() -> None:
    places = [(p, 0, step, slot) for p in Purpose for step in (0, 1) for slot in (0, 1)]
    drawn = {generator(*place).integers(2**62).item() for place in places}
    assert len(drawn) == len(places)
    np.testing.assert_array_equal(
        generator(Purpose.IMAGE, 1, 2, 3).random(4), generator(Purpose.IMAGE, 1, 2, 3).random(4)
    )
