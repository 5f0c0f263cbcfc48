"""One training batch: records read, images decoded and augmented, texts built and tokenised.

A batch is a pure function of its step, so that it can be built by any worker, in any order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ovs_jax.data.images import Photo, checked_pixels
from ovs_jax.data.mixture import ImageTextSet, Mixture, Stream
from ovs_jax.data.order import Purpose, generator
from ovs_jax.data.pairing import EntityIndex
from ovs_jax.data.records import BadRecordError, Record
from ovs_jax.text.entities import EntityRule, cross_prompt
from ovs_jax.text.nouns import nouns
from ovs_jax.text.prompts import noun_prompts
from ovs_jax.text.tagged_nouns import tagged_nouns
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.typing import Batch

Augmentation = Callable[[np.ndarray | Photo, np.random.Generator], np.ndarray]
"""From a photo or its pixels, uint8 [h, w, 3], to [size, size, 3]: uint8, or normalised floats."""

IMAGE_FIELDS = ("image", "cross_image")
TEXT_FIELDS = ("caption", "prompts", "question", "answer", "cross_entity")
ENTITY_FIELDS = ("question", "answer", "cross_image", "cross_entity")
"""What only a caption with entities can give."""

MOST_TRIES = 32
"""How many bad records in a row one slot passes over before the data is given up."""


Bad = list[tuple[str, str]]
"""Key and reason of every record that was passed over."""
BuiltBatch = tuple[Batch, Bad]
"""The slots of one process, in order, and what was passed over."""
T = TypeVar("T")


@dataclass(frozen=True)
class _Item:
    """One slot of a batch before texts become ids."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchBuilder:
    """Builds the batch of a step.

    Attributes:
      mixture: the sets of images and captions, and which record stands where.
      tokenizer: for all texts.
      augment: for all images.
      seed: of all chance.
      fields: which entries of a batch to build, of `IMAGE_FIELDS` and `TEXT_FIELDS`.
      text_length: tokens a text.
      prompt_count: noun prompts a caption.
      rule: reads entities; needed for `ENTITY_FIELDS`, as are the sets' indices, and for prompts
        that name entities.
      slots: the slots of the global batch that this process builds.
    """

    mixture: Mixture
    tokenizer: Tokenizer
    augment: Augmentation
    seed: int
    fields: tuple[str, ...]
    text_length: int
    prompt_count: int
    rule: EntityRule | None
    slots: range

    def __call__(self, step: int) -> BuiltBatch:
        """Builds the batch of a step.

        A record that cannot be used is replaced by the one in the same slot of the next step, so
        that no record stands twice in a batch on its account.

        Args:
          step: from 0 on.

        Returns:
          The batch, and what went wrong on the way.

        Raises:
          ValueError: `MOST_TRIES` records in a row cannot be used.
        """
        step = int(step)
        bad: Bad = []
        items = [self._usable_item(step, slot, bad) for slot in self.slots]
        arrays: Batch = {}
        for name in self.fields:
            if name in IMAGE_FIELDS:
                arrays[name] = np.stack([item.images[name] for item in items])
            else:
                arrays[name] = self._tokenize([item.texts[name] for item in items])
        for name in arrays.keys() & {"caption", "question", "answer", "cross_entity"}:
            arrays[name] = {kind: values[:, 0] for kind, values in arrays[name].items()}
        return arrays, bad

    def _tokenize(self, texts: Sequence[tuple[str, ...]]) -> dict[str, np.ndarray]:
        """Ids and mask, b k l, of k texts a slot."""
        flat = [text for several in texts for text in several]
        ids, mask = self.tokenizer(flat, length=self.text_length)
        shape = (len(texts), len(texts[0]), self.text_length)
        return {"ids": ids.reshape(shape), "mask": mask.reshape(shape)}

    def _usable_item(self, step: int, slot: int, bad: Bad) -> _Item:
        stream, own_slot = self.mixture.locate(slot)
        bounds = stream.order.bounds(own_slot)

        def attempt(number: int) -> _Item:
            place = stream.order.record(step + number, own_slot)
            return self._item(stream, place, bounds, (self.seed, step, slot, number))

        return first_usable(attempt, bad)

    def _item(
        self, stream: Stream, place: int, bounds: tuple[int, int], where: tuple[int, ...]
    ) -> _Item:
        """What a record gives; ``where`` tells its chance from that of all others."""
        data = stream.data
        record = _record(data, place)
        item = _Item()
        for name in self.fields:
            if name == "image":
                rng = generator(Purpose.IMAGE, *where)
                item.images[name] = self.augment(_photo(record), rng)
            elif name == "caption":
                item.texts[name] = (record["caption"],)
            elif name == "prompts":
                rng = generator(Purpose.PROMPTS, *where)
                words = self._prompt_words(data.prompt_words, record["caption"])
                item.texts[name] = noun_prompts(
                    record["caption"], rng, count=self.prompt_count, words=words
                )
        if self.rule is not None and data.index is not None:
            self._add_question(item, self.rule, record["caption"], where)
            self._add_partner(item, data, data.index, place, bounds, where)
        return item

    def _prompt_words(self, kind: str, caption: str) -> tuple[str, ...]:
        if kind == "entities" and self.rule is not None:
            return tuple(dict.fromkeys(self.rule.entities(caption)))
        if kind == "none":
            return ()
        return tagged_nouns(caption) if kind == "nltk_nouns" else nouns(caption)

    def _add_question(
        self, item: _Item, rule: EntityRule, caption: str, where: tuple[int, ...]
    ) -> None:
        if "question" in self.fields:
            question = rule.question(caption, mask=str(self.tokenizer.mask_token))
            item.texts["question"] = (question,)
        if "answer" in self.fields:
            rng = generator(Purpose.ANSWER, *where)
            item.texts["answer"] = (rule.answer(rule.entities(caption), rng),)

    def _add_partner(
        self,
        item: _Item,
        data: ImageTextSet,
        index: EntityIndex,
        place: int,
        bounds: tuple[int, int],
        where: tuple[int, ...],
    ) -> None:
        if not {"cross_image", "cross_entity"} & set(self.fields):
            return
        partner, entity = index.partner(place, generator(Purpose.PARTNER, *where), within=bounds)
        item.texts["cross_entity"] = (cross_prompt(entity),)
        if "cross_image" in self.fields:
            photo = _photo(_record(data, partner))
            rng = generator(Purpose.CROSS_IMAGE, *where)
            item.images["cross_image"] = self.augment(photo, rng)


def first_usable(attempt: Callable[[int], T], bad: Bad) -> T:
    """What the first attempt gives whose record can be used.

    Args:
      attempt: makes something of another record for every number from 0 on.
      bad: gets key and reason of those that cannot be used.

    Raises:
      ValueError: `MOST_TRIES` records in a row cannot be used.
    """
    for number in range(MOST_TRIES):
        try:
            return attempt(number)
        except BadRecordError as error:
            bad.append((error.key, error.reason))
    key, reason = bad[-1]
    raise ValueError(
        f"training data: {MOST_TRIES} records in a row cannot be used; the last was {key}: {reason}"
    )


def _record(data: ImageTextSet, place: int) -> Record:
    """The record at a place of a set's order, checked."""
    record = data.source[place if data.index is None else int(data.index.kept[place])]
    missing = [name for name in ("image", "caption", "key") if name not in record]
    if missing:
        raise ValueError(
            f"record {place} of {type(data.source).__name__}: expected the fields image, "
            f"caption and key, misses {missing}"
        )
    caption = record["caption"]
    if not isinstance(caption, str):
        raise BadRecordError(str(record["key"]), "caption is not text", type(caption).__name__)
    if not caption.strip():
        raise BadRecordError(str(record["key"]), "empty caption")
    return record


def _photo(record: Record) -> Photo | np.ndarray:
    """The image of a record, encoded or uint8 [h, w, 3]."""
    image, key = record["image"], str(record["key"])
    if isinstance(image, bytes):
        return Photo(image, name=key)
    return checked_pixels(image, name=key)
