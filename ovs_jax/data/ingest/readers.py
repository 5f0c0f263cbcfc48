"""What every reader offers: a source cut into parts, each of which becomes one shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ovs_jax.data.ingest.entries import Entry


@dataclass(frozen=True)
class Part:
    """A piece of a source, small enough to be sent to a worker.

    Attributes:
      index: which shard it becomes.
      place: what the reader finds it by: plain values only, which also tell one source from
        another.
      entries: how many pairs of image and caption it has, if that is known.
    """

    index: int
    place: tuple[Any, ...]
    entries: int | None = None


@runtime_checkable
class Reader(Protocol):
    """Reads one kind of source. It must be picklable, because workers get a copy."""

    def parts(self) -> list[Part]:
        """The parts, in order. They depend on the source and the options alone.

        Raises:
          ValueError: the source as a whole cannot be read.
        """
        ...

    def read(self, part: Part) -> Iterator[Entry]:
        """The entries of a part, in order; a fault of one is told in it.

        Raises:
          OSError: the part has vanished, or the machine cannot read it.
        """
        ...


def is_machine_fault(error: BaseException) -> bool:
    """Whether the operating system failed, which says nothing of the data; resume later."""
    return isinstance(error, OSError) and error.errno is not None


def numbered(places: list[tuple[tuple[Any, ...], int | None]]) -> list[Part]:
    """Parts from places and the number of entries of each."""
    return [Part(index, place, entries) for index, (place, entries) in enumerate(places)]
