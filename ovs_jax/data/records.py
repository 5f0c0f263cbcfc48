"""What a source gives and what is wrong with a bad one."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

Record = Mapping[str, Any]
"""One item of a source.

Image and text: ``image`` (encoded bytes, or uint8 [h, w, 3]), ``caption`` (str), ``key`` (str).
Segmentation: ``image``, ``label`` (encoded single-channel or palette image, or integers [h, w]; 255
is ignored) and ``key``. The key names the item in messages.
"""


class BadRecordError(ValueError):
    """A record that cannot be used; input streams count it and go on.

    Attributes:
      key: which record, usually a file.
      reason: what is wrong, in words that many records share, for counting.
    """

    def __init__(self, key: str, reason: str, detail: str = ""):
        super().__init__(key, reason, detail)  # all arguments, so that it can be pickled
        self.key = key
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@runtime_checkable
class Source(Protocol):
    """Random access to records by index: the same index always gives the same record.

    Everything that can be indexed so is a source. A source must be picklable, because input workers
    get a copy. `__getitem__` raises `BadRecordError` for a record that cannot be read.
    """

    def __len__(self) -> int:
        """How many records there are."""
        ...

    def __getitem__(self, index: int) -> Record:
        """The record at an index between 0 and the length."""
        ...


@runtime_checkable
class CaptionSource(Source, Protocol):
    """A source of images with captions."""

    def captions(self) -> Sequence[str]:
        """All captions in the order of the records, without reading an image."""
        ...
