"""The largest batch that a device has the memory for."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar


class Attempt(Protocol):
    """What is known of a batch that fitted."""

    @property
    def bytes(self) -> int:
        """Memory that it took on one device."""
        ...


Tried = TypeVar("Tried", bound=Attempt)


class FullError(RuntimeError):
    """The device has no memory for a batch."""


def largest(
    attempt: Callable[[int], Tried], *, first: int, most: int, memory: int | None
) -> tuple[dict[int, Tried], bool]:
    """Doubles a batch until it does not fit.

    Where the memory is known, batches that are sure to fit are jumped over and those that are sure
    not to are not tried: on accelerators every batch is compiled anew, for a minute or more.

    Args:
      attempt: runs a batch; raises `FullError`.
      first: batch to begin with; halved if not even it fits.
      most: batch to end with.
      memory: bytes of one device; None where they are not known.

    Returns:
      What came out by batch, and whether ``most`` ended it, not the memory.

    Raises:
      ValueError: no batch fitted.
    """
    fitted: dict[int, Tried] = {}
    full = most + 1
    batch: int | None = min(first, most)
    while batch:
        try:
            fitted[batch] = attempt(batch)
        except FullError:
            full = batch
        batch = following({size: each.bytes for size, each in fitted.items()}, full, batch, memory)
    if not fitted:
        raise ValueError(f"a batch of {full} does not fit, and no smaller one was left to try")
    return fitted, full > most and 2 * max(fitted) > most


def following(fitted: Mapping[int, int], full: int, last: int, memory: int | None) -> int | None:
    """The batch to try next.

    Args:
      fitted: bytes of every batch that fitted.
      full: the smallest batch that is known not to fit or is not allowed.
      last: the batch tried last.
      memory: bytes of one device, if known.

    Returns:
      None where nothing is left to try.
    """
    if not fitted:
        return last // 2 or None
    batch = 2 * max(fitted)
    if batch >= full or (memory and len(fitted) > 1 and predicted(fitted, batch) > memory):
        return None
    while memory and 2 * batch < full and predicted(fitted, 2 * batch) <= memory:
        batch *= 2
    return batch


def predicted(fitted: Mapping[int, int], batch: int) -> float:
    """Bytes of a batch: on the line through the two largest that fitted, or in proportion to one.

    The second is too much, as parameters do not grow with the batch.
    """
    if len(fitted) == 1:
        ((size, used),) = fitted.items()
        return used * batch / size
    small, large = sorted(fitted)[-2:]
    slope = (fitted[large] - fitted[small]) / (large - small)
    return fitted[large] + slope * (batch - large)
