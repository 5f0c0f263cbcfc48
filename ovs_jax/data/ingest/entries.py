"""From what a reader found to records: the checks that every way of ingesting shares."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ovs_jax.data.images import check_image_header, decode_image
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.records import BadRecordError, Record

MAX_IMAGE_BYTES = 256 * 2**20
"""The largest encoded image."""
NOT_DOWNLOADED = "not downloaded"
"""Why an entry of a list of addresses has no image. Addresses die; this speaks not of bad data."""
FILTERED = "filter: "
"""How reasons begin that a `RecordFilter` gives."""


@dataclass(frozen=True)
class Entry:
    """An image with its captions, as yet unchecked.

    Attributes:
      key: names it in messages and in its records.
      image: the encoded file; None where there is none.
      captions: one or several; each should be text, or bytes that are.
      fault: why the entry cannot be used, if the reader has seen that already.
      detail: more about the fault.
    """

    key: str
    image: Any = field(default=None, repr=False)
    captions: tuple[Any, ...] = (None,)
    fault: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Drop:
    """An entry that was left out.

    Attributes:
      key: of the entry.
      reason: why, in words that many entries share.
      detail: more about it.
    """

    key: str
    reason: str
    detail: str = ""


def is_bad(reason: str) -> bool:
    """Whether a reason speaks of bad data: neither of a dead address nor of a filter's choice."""
    return reason != NOT_DOWNLOADED and not reason.startswith(FILTERED)


@runtime_checkable
class RecordFilter(Protocol):
    """Chooses records by what is in them. It must be picklable, and a pure function.

    Attributes:
      name: says in the manifest what was chosen.
    """

    @property
    def name(self) -> str:
        """What the filter chooses."""
        ...

    def __call__(self, record: Record) -> str | None:
        """Why the record is left out, or None if it is kept."""
        ...


Outcome = dict[str, Any] | Drop


def outcomes(
    entry: Entry, options: IngestOptions, *, keep: RecordFilter | None = None
) -> Iterator[Outcome]:
    """What becomes of an entry: for each caption a record, or why there is none.

    Args:
      entry: from a reader.
      options: what is checked.
      keep: chooses among the good ones.

    Yields:
      A record (``image``, ``caption``, ``key``) or a `Drop`, as many as the entry has captions.
    """
    key = entry.key.encode("utf-8", "replace").decode("utf-8")
    fault = _fault(entry, key, options)
    for given in entry.captions:
        caption = fault or _caption(given, key)
        if isinstance(caption, Drop):
            yield caption
            continue
        record = {"image": entry.image, "caption": caption, "key": key}
        reason = None if keep is None else keep(record)
        yield record if reason is None else Drop(key, FILTERED + reason)


def _fault(entry: Entry, key: str, options: IngestOptions) -> Drop | None:
    """Why no caption of an entry can be used, or None."""
    if entry.fault is not None:
        return Drop(key, entry.fault, entry.detail)
    if entry.image is None:
        return Drop(key, "missing image")
    if not isinstance(entry.image, bytes):
        return Drop(key, "image is not bytes", type(entry.image).__name__)
    if len(entry.image) > MAX_IMAGE_BYTES:
        return Drop(key, "file too large", f"{len(entry.image)} bytes")
    check = decode_image if options.verify else check_image_header
    try:
        check(entry.image, name=key, max_pixels=options.max_pixels)
    except BadRecordError as error:
        return Drop(key, error.reason, error.detail)
    return None


def _caption(caption: Any, key: str) -> str | Drop:
    if caption is None:
        return Drop(key, "missing caption")
    if isinstance(caption, bytes):
        try:
            caption = caption.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return Drop(key, "caption is not UTF-8 text", str(error))
    if not isinstance(caption, str):
        return Drop(key, "caption is not text", type(caption).__name__)
    caption = caption.strip()
    if not caption:
        return Drop(key, "empty caption")
    try:
        caption.encode("utf-8")
    except UnicodeEncodeError as error:  # half a character, which JSON can spell
        return Drop(key, "caption is not UTF-8 text", str(error))
    return caption
