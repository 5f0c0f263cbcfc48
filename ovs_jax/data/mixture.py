"""Several sets of images and captions in one stream, each with its share of every batch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ovs_jax.data.entity_index import index_entities
from ovs_jax.data.order import EpochOrder
from ovs_jax.data.pairing import EntityIndex
from ovs_jax.data.records import CaptionSource, Source
from ovs_jax.text.entities import EntityRule

PROMPT_WORDS = ("nouns", "nltk_nouns", "entities", "none")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageTextSet:
    """One set of a mixture.

    Attributes:
      source: images with captions.
      weight: its share of every batch, relative to the other sets; 0 for its number of records.
      prompt_words: what noun prompts name: the caption's ``nouns`` (by lexicon), its ``nltk_nouns``
        (by NLTK's tagger), only its ``entities``, or ``none``, which repeats the caption.
      index: its captions with entities, where a batch needs them; read from the captions if None.
    """

    source: Source = field(repr=False)
    weight: float = 0.0
    prompt_words: str = "nouns"
    index: EntityIndex | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight}")
        if self.prompt_words not in PROMPT_WORDS:
            raise ValueError(
                f"prompt_words: expected one of {PROMPT_WORDS}, got '{self.prompt_words}'"
            )

    @property
    def records(self) -> int:
        """How many records it gives: with an index those whose captions have entities."""
        return len(self.source) if self.index is None else len(self.index)


@dataclass(frozen=True)
class Stream:
    """A set with its order.

    Attributes:
      data: the set.
      order: which record stands where. With an index it orders the index's places.
    """

    data: ImageTextSet
    order: EpochOrder


@dataclass(frozen=True)
class Mixture:
    """Where the slots of a batch get their records from.

    A batch has as many groups of slots as there are slices; in each group the sets follow one
    another, with the same numbers of slots in all groups and all batches. A set begins its next
    epoch when its own records are used up.

    Attributes:
      streams: one a set.
      slices: contiguous ranges that the records of every set are cut into.
    """

    streams: tuple[Stream, ...]
    slices: int

    @property
    def shares(self) -> tuple[int, ...]:
        """Slots of each set in one group."""
        return tuple(stream.order.batch_size // self.slices for stream in self.streams)

    @property
    def records(self) -> int:
        """Records of all sets together."""
        return sum(stream.order.records for stream in self.streams)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the records; of several sets, in as many as they have."""
        if len(self.streams) == 1:
            return self.streams[0].order.steps_per_epoch
        return self.records // sum(stream.order.batch_size for stream in self.streams)

    def locate(self, slot: int) -> tuple[Stream, int]:
        """The set of a slot of the batch, and which of that set's own slots it is."""
        group, rest = divmod(slot, sum(self.shares))
        for stream, share in zip(self.streams, self.shares, strict=True):
            if rest < share:
                return stream, group * share + rest
            rest -= share
        raise ValueError("a mixture has at least one set")  # sum(shares) > rest otherwise


def mix(sets: Sequence[ImageTextSet], *, batch_size: int, slices: int, seed: int) -> Mixture:
    """Divides a batch among sets.

    Args:
      sets: at least one.
      batch_size: records a step, over all processes.
      slices: contiguous ranges of records, a divisor of the batch size.
      seed: of the order.

    Raises:
      ValueError: a set would get no slot or is too small for a batch, some sets have weights and
        others have none, or the batch does not divide into slices.
    """
    if not sets:
        raise ValueError("sets: expected at least one set of images and captions, got none")
    if slices < 1 or batch_size % slices:
        raise ValueError(f"slices: expected a divisor of batch_size {batch_size}, got {slices}")
    given = [data.weight for data in sets]
    if any(given) and not all(given):
        raise ValueError(f"weight: expected one for every set or for none, got {given}")
    weights = given if any(given) else [float(data.records) for data in sets]
    shares = [batch_size // slices] if len(sets) == 1 else divide(batch_size // slices, weights)
    if 0 in shares:
        raise ValueError(
            f"weight: set {shares.index(0)} of {weights} gets none of the {batch_size // slices} "
            f"slots that each of {slices} slices has in a batch; expected a larger weight or batch"
        )
    streams = [
        Stream(data, EpochOrder(data.records, share * slices, seed, slices, number))
        for number, (data, share) in enumerate(zip(sets, shares, strict=True))
    ]
    if len(sets) > 1:
        _log.info("%d slots a batch, of each set %s", batch_size, [n * slices for n in shares])
    return Mixture(tuple(streams), slices)


def divide(slots: int, weights: Sequence[float]) -> list[int]:
    """Divides slots by weights, rounding to the largest remainders; ties go to the first."""
    exact = [slots * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: slots - sum(shares)]:
        shares[i] += 1
    return shares


def with_entities(data: ImageTextSet, rule: EntityRule) -> ImageTextSet:
    """The set with an index of its entities, read from its captions if it has none yet.

    Raises:
      ValueError: the source cannot give its captions, or none of them has an entity.
    """
    if data.index is not None:
        return data
    source, name = data.source, type(data.source).__name__
    if not isinstance(source, CaptionSource):
        raise ValueError(f"source {name}: expected a method captions(), which entities are read by")
    index = index_entities(source.captions(), rule)
    if not len(index):
        raise ValueError(
            f"source {name}: none of {len(source)} captions has an entity; expected words such as "
            f"{list(rule.vocabulary.filter_words[:5])}"
        )
    _log.info(
        "%s: %d of %d captions have entities, %d different; %d captions share none",
        name,
        len(index),
        len(source),
        len(index.names),
        index.alone,
    )
    return replace(data, index=index)
