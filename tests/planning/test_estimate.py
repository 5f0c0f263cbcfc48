"""Time from costs and published rates."""

from collections import Counter

import pytest

from ovs_jax.planning.collectives import Collective
from ovs_jax.planning.cost import Cost
from ovs_jax.planning.estimate import HOP, estimate
from ovs_jax.planning.topology import topology

REDUCE = Collective("all-reduce", (("f32", 1_000_000),), 64, "psum")
PASS = Collective("collective-permute", (("f32", 1_000_000),), 64, "ppermute")


def cost(**changes: object) -> Cost:
    known = {"flops": 459e12, "bytes": 2 * 2765e9, "roofline": 2.5}
    return Cost(**(known | changes))


def test_rates_of_the_chip_make_seconds_of_costs() -> None:
    time = estimate(cost(), topology("v5p:4x4x4"))
    assert (time.arithmetic, time.memory, time.step) == (1.0, 2.0, 2.5)
    assert time.communication_share == 0.0


def test_reductions_use_all_links_and_messages_to_a_neighbour_one() -> None:
    machine = topology("v5p:4x4x4")
    reduced = estimate(cost(collectives=Counter({REDUCE: 1})), machine)
    passed = estimate(cost(collectives=Counter({PASS: 1})), machine)
    assert reduced.transfer == pytest.approx(2 * 63 / 64 * 1e6 / 600e9)
    assert passed.transfer == pytest.approx(1e6 / 100e9)


def test_a_reduction_waits_across_the_torus_and_back_and_a_message_one_hop() -> None:
    waves = Counter({"all-reduce": 3, "collective-permute": 5})
    time = estimate(cost(waves=waves), topology("v5p:4x4x4"))
    assert time.latency == pytest.approx((3 * 2 * 6 + 5) * HOP)
    assert time.step == pytest.approx(2.5 + time.latency)


def test_a_machine_without_published_rates_has_no_time() -> None:
    with pytest.raises(ValueError, match="no rates are published for cpu:8"):
        estimate(cost(), topology("cpu:8"))
