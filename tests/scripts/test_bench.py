"""How things are timed."""

import sys

import pytest
from benchmark import machine, measure


def test_things_are_timed_in_turn_and_compared_within_rounds() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = measure.in_turn(runs, warm_up=1, repeats=2)
    assert order == ["a", "b"] * 3
    assert len(times["a"].seconds) == 2
    one, other = measure.Times((2.0, 9.0, 4.0)), measure.Times((1.0, 3.0, 4.0))
    assert measure.ratios(one, other) == (2.0, 1.0, 3.0)


def test_threads_cannot_be_limited_once_jax_runs() -> None:
    assert "jax" in sys.modules
    with pytest.raises(ValueError, match="loaded already"):
        machine.limit_threads(1)
