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
