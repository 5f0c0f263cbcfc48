"""Records kept in memory after they were read or drawn once."""

from collections.abc import Sequence
from typing import Any

from ovs_jax.data.records import CaptionSource, Record, Source


class Remembered:
    """A source that reads every record of another source at most once.

    For sources that fit into memory and are slow to read, such as the synthetic world or
    photographs on a network. Every input worker remembers for itself. Bad records are asked for
    again.

    Attributes:
      source: the other source.
    """

    def __init__(self, source: Source):
        self.source = source
        self._records: dict[int, Record] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        """The record of the other source; do not change what it holds."""
        record = self._records.get(index)
        if record is None:
            record = self._records[index] = self.source[index]
        return record

    def captions(self) -> Sequence[str]:
        """The captions of the other source.

        Raises:
          ValueError: it has none.
        """
        if not isinstance(self.source, CaptionSource):
            raise ValueError(f"source {type(self.source).__name__}: expected a method captions()")
        return self.source.captions()

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "_records": {}}
