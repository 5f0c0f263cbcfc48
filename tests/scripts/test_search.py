"""The largest batch that fits is found in few tries."""

from dataclasses import dataclass

import pytest
from benchmark.search import FullError, largest, predicted
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Tried:
    bytes: int


def tries(*, fixed: int, each: int, limit: int) -> tuple[list[int], object]:
    """What was tried, and a device of ``limit`` bytes."""
    seen: list[int] = []

    def attempt(batch: int) -> Tried:
        seen.append(batch)
        if fixed + each * batch > limit:
            raise FullError
        return Tried(fixed + each * batch)

    return seen, attempt


def test_without_known_memory_a_batch_is_doubled_until_it_does_not_fit() -> None:
    seen, attempt = tries(fixed=5, each=1, limit=40)
    found, allowed = largest(attempt, first=4, most=1024, memory=None)
    assert seen == [4, 8, 16, 32, 64]
    assert (max(found), allowed) == (32, False)


def test_with_known_memory_batches_that_are_sure_are_jumped_over() -> None:
    seen, attempt = tries(fixed=30, each=1, limit=1100)
    found, allowed = largest(attempt, first=64, most=8192, memory=1100)
    assert seen == [64, 512, 1024]
    assert (max(found), allowed) == (1024, False)


def test_what_is_allowed_ends_the_search_too() -> None:
    seen, attempt = tries(fixed=0, each=1, limit=10**9)
    found, allowed = largest(attempt, first=8, most=16, memory=None)
    assert seen == [8, 16]
    assert (max(found), allowed) == (16, True)


def test_a_first_batch_that_does_not_fit_is_halved() -> None:
    seen, attempt = tries(fixed=1, each=1, limit=20)
    found, allowed = largest(attempt, first=64, most=64, memory=20)
    assert seen == [64, 32, 16]
    assert (max(found), allowed) == (16, False)


def test_where_nothing_fits_it_says_so() -> None:
    _, attempt = tries(fixed=100, each=1, limit=20)
    with pytest.raises(ValueError, match="batch of 1 does not fit"):
        largest(attempt, first=4, most=64, memory=None)


@given(
    fixed=st.integers(0, 10**4),
    each=st.integers(1, 100),
    limit=st.integers(1, 10**6),
    known=st.booleans(),
)
def test_the_result_fits_and_twice_as_many_do_not(
    fixed: int, each: int, limit: int, known: bool
) -> None:
    _, attempt = tries(fixed=fixed, each=each, limit=limit)
    if fixed + each > limit:
        return
    found, allowed = largest(attempt, first=16, most=4096, memory=limit if known else None)
    best = max(found)
    assert fixed + each * best <= limit
    assert allowed == (best == 4096)
    assert allowed or fixed + each * 2 * best > limit


def test_memory_is_predicted_on_the_line_through_two_batches() -> None:
    assert predicted({8: 100}, 16) == 200
    assert predicted({4: 70, 8: 100, 16: 160}, 32) == 280
