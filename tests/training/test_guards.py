"""Guards: copies of the parameters are compared, and collapsed groups reported."""

import logging

import jax
import numpy as np
import pytest

from ovs_jax.training import guards
from ovs_jax.training import state as states
from ovs_jax.training.guards import DesynchronisedError, GuardConfig
from tests.training.stand_in import make_plan


def with_another_copy(array: jax.Array, device: int) -> jax.Array:
    """The same array, of which one device holds a bit flipped."""
    parts = []
    for shard in array.addressable_shards:
        held = np.array(shard.data)
        if shard.device.id == device:
            held.view(np.uint32).reshape(-1)[0] ^= 1
        parts.append(jax.device_put(held, shard.device))
    return jax.make_array_from_single_device_arrays(array.shape, array.sharding, parts)


def test_a_flipped_bit_of_one_copy_is_found() -> None:
    plan = make_plan((2, 4, 1))
    state, compare = states.scratch(plan, 0), guards.make_comparison(plan)
    compare(state, 7)
    for part in (("params", "image_encoder", "kernel"), ("params", "logit_scale")):
        *folders, name = part
        spoilt = jax.tree.map(lambda leaf: leaf, state)
        tree = spoilt
        for folder in folders:
            tree = tree[folder]
        tree[name] = with_another_copy(tree[name], 5)
        with pytest.raises(DesynchronisedError, match=r"step 7: the copies .* process\(es\) \[0\]"):
            compare(spoilt, 7)
    tree[name] = with_another_copy(state["params"]["logit_scale"], 5)
    with pytest.raises(DesynchronisedError, match=r"devices \[5\]\)"):
        compare(spoilt, 7)


def test_the_minority_is_told_from_the_rest() -> None:
    values = np.array([[1, 1], [1, 2], [3, 2]])
    expected = [[False, True], [False, False], [True, False]]
    np.testing.assert_array_equal(guards._minority(values, axis=0), expected)


def test_collapsed_groups_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        guards.warn_of_collapse({"largest_group_share": 0.5})
        assert not caplog.text
        guards.warn_of_collapse({"largest_group_share": 0.99})
    assert "one holds 99 % of an image" in caplog.text


def test_impossible_guards_are_refused() -> None:
    with pytest.raises(ValueError, match=r"guards.most_skipped: expected at least 0, got -1"):
        GuardConfig(most_skipped=-1)
