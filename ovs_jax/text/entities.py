"""Entities of captions: the words that name things, and a question and an answer about them.

OVSegmentor (CVPR 2023), section 3.3, "masked entity completion", and the caption filter of its
training data. Two rules read a caption:

* ``corrected`` (the default) finds entities in any inflection and beside any punctuation, and
  leaves the rest of the caption alone.
* ``original`` reproduces the published strings, defects included, for exact comparison.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from lemminflect import getInflection, getLemma

from ovs_jax.text.assets import asset_json
from ovs_jax.text.penn import penn_tokens
from ovs_jax.text.prompts import TEMPLATES, fill

MASK = "[MASK]"
RULES = ("corrected", "original")


@dataclass(frozen=True)
class EntityVocabulary:
    """The words that count as entities.

    Attributes:
      filter_words: words (or phrases of words parted by one blank) in the singular; a caption with
        none of them has no entity.
      synonyms: word to canonical name; a word that is not listed names itself.
    """

    filter_words: tuple[str, ...]
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.filter_words:
            raise ValueError("entity vocabulary: expected at least one word, got none")
        words = (*self.filter_words, *self.synonyms)
        bad = [word for word in words if not word or word != " ".join(word.split())]
        if bad:
            raise ValueError(f"entity vocabulary: these words are empty or not trimmed: {bad}")
        twice = [word for word, count in Counter(self.filter_words).items() if count > 1]
        if twice:
            raise ValueError(f"entity vocabulary: these words stand there twice: {twice}")

    def canonical(self, word: str) -> str:
        """The name under which a word's entity is known."""
        return self.synonyms.get(word, word)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The distinct canonical names, in the order of the filter words."""
        return tuple(dict.fromkeys(self.canonical(word) for word in self.filter_words))


def published_vocabulary() -> EntityVocabulary:
    """The 100 filter words and synonyms with which OVSegmentor's training data (CC4M) was made."""
    lists = asset_json("entities.json")
    return EntityVocabulary(tuple(lists["filter_words"]), lists["synonyms"])


@runtime_checkable
class EntityRule(Protocol):
    """A way to read captions."""

    @property
    def name(self) -> str:
        """Its name, of `RULES`."""
        ...

    @property
    def vocabulary(self) -> EntityVocabulary:
        """The words that count."""
        ...

    def question(self, caption: str, *, mask: str = MASK) -> str:
        """The caption with every entity word replaced by the mask token."""
        ...

    def entities(self, caption: str) -> tuple[str, ...]:
        """The canonical name of every masked word, in the order of the question's masks."""
        ...

    def pairing_entities(self, caption: str) -> tuple[str, ...]:
        """What the caption is filtered by (kept if any) and paired with others by; distinct."""
        ...

    def answer(self, entities: Iterable[str], rng: np.random.Generator) -> str:
        """The sentence that names the hidden entities."""
        ...


def entity_rule(name: str, vocabulary: EntityVocabulary | None = None) -> EntityRule:
    """A rule by its name.

    Args:
      name: ``corrected`` or ``original``.
      vocabulary: the published one if none is given.

    Raises:
      ValueError: the name is unknown.
    """
    if name not in RULES:
        raise ValueError(f"entity_rule '{name}' is unknown; expected one of {RULES}")
    chosen = vocabulary or published_vocabulary()
    return OriginalRule(chosen) if name == "original" else CorrectedRule(chosen)


def cross_prompt(entity: str) -> str:
    """The sentence for the entity that an image shares with its partner (section 3.4)."""
    return f"A photo of {entity}"


@dataclass(frozen=True)
class _Masked:
    question: str
    entities: tuple[str, ...]


@dataclass(frozen=True)
class CorrectedRule:
    """Finds entities in any number and case, beside any punctuation, and changes nothing else.

    The last part of a hyphenated word counts ("toy-car" is a car), a first part does not
    ("dog-friendly"). Words are not told apart by their part of speech: "a man ties his shoes" has a
    tie, as under the original rule.
    """

    vocabulary: EntityVocabulary = field(default_factory=published_vocabulary)

    @property
    def name(self) -> str:
        """``corrected``."""
        return "corrected"

    def question(self, caption: str, *, mask: str = MASK) -> str:
        """The caption with every entity word replaced by the mask token, otherwise intact."""
        return self._read(caption, mask).question

    def entities(self, caption: str) -> tuple[str, ...]:
        """The canonical name of every masked word, in the order of the question's masks."""
        return self._read(caption, MASK).entities

    def pairing_entities(self, caption: str) -> tuple[str, ...]:
        """The distinct canonical names, by first appearance."""
        return tuple(dict.fromkeys(self.entities(caption)))

    def answer(self, entities: Iterable[str], rng: np.random.Generator) -> str:
        """The distinct entities by first appearance: "a good photo of the dog and bench."

        Args:
          entities: canonical names, perhaps repeated.
          rng: draws the template.

        Raises:
          ValueError: there is no entity.
        """
        names = tuple(dict.fromkeys(entities))
        if not names:
            raise ValueError("answer: expected at least one entity, got none")
        return fill(TEMPLATES[int(rng.integers(len(TEMPLATES)))], " and ".join(names))

    # A word may hold hyphens, not apostrophes: "woman's" is "woman", and "o'clock" has no clock.
    _word = re.compile(r"(?<!\w['’])[^\W_]+(?:-[^\W_]+)*")

    @cached_property
    def _forms(self) -> dict[str, str]:
        """Every written form in lower case, to its canonical name."""
        words = dict.fromkeys((*self.vocabulary.filter_words, *self.vocabulary.synonyms))
        forms: dict[str, str] = {}
        for word in words:
            *first, last = word.split(" ")
            for plural in getInflection(last, "NNS"):
                forms[" ".join((*first, plural)).lower()] = self.vocabulary.canonical(word)
        # A word as it is listed wins over an inflection of another.
        for word in words:
            forms[word.lower()] = self.vocabulary.canonical(word)
        return forms

    @cached_property
    def _longest(self) -> dict[str, int]:
        """For every word that begins a form: how many words the longest such form has."""
        longest: dict[str, int] = {}
        for form in self._forms:
            first, count = form.split(" ")[0], form.count(" ") + 1
            longest[first] = max(count, longest.get(first, 0))
        return longest

    def _read(self, caption: str, mask: str) -> _Masked:
        words = list(self._word.finditer(caption))
        pieces: list[str] = []
        entities: list[str] = []
        done, position = 0, 0
        while position < len(words):
            word = words[position].group().lower()
            if word not in self._longest and "-" not in word:  # nearly all words
                position += 1
                continue
            start, end, name, length = self._match(caption, words, position)
            if name is not None:
                pieces += [caption[done:start], mask]
                entities.append(name)
                done = end
            position += length
        return _Masked("".join(pieces) + caption[done:], tuple(entities))

    def _match(
        self, caption: str, words: list[re.Match[str]], position: int
    ) -> tuple[int, int, str | None, int]:
        """The longest entity that begins at a word: start, end, name (or None), words taken."""
        first = words[position]
        longest = self._longest.get(first.group().lower(), 0)
        for length in range(min(longest, len(words) - position), 0, -1):
            end = words[position + length - 1].end()
            written = caption[first.start() : end]
            name = self._forms.get(" ".join(written.lower().split()))
            if name is not None:
                return first.start(), end, name, length
        last_part = first.group().rpartition("-")[2]
        name = self._forms.get(last_part.lower())
        return first.end() - len(last_part), first.end(), name, 1


@dataclass(frozen=True)
class OriginalRule:
    """The published strings, with the defects that published models were trained on.

    Every blank-parted word loses the characters ``'`` and ``s`` at both its ends, also where it is
    not masked ("street" becomes "treet"). A word is an entity if what remains, without full stops
    around it, is a filter word in lower case; it is then replaced together with its full stop. So
    "bus" and "shirt" are never entities, and a comma, a bracket or a plural in -es hides one.
    Before a full stop a plural keeps its s and is found by its lemma; the reference strings show no
    such case, so this is an inference.
    """

    vocabulary: EntityVocabulary = field(default_factory=published_vocabulary)

    @property
    def name(self) -> str:
        """``original``."""
        return "original"

    def question(self, caption: str, *, mask: str = MASK) -> str:
        """The stripped words, joined by single blanks, with mask tokens for the entities."""
        words = [word.strip("'s") for word in caption.split()]
        return " ".join(mask if self._name(word) is not None else word for word in words)

    def entities(self, caption: str) -> tuple[str, ...]:
        """The canonical name of every masked word, in order, repeated as the masks are."""
        names = (self._name(word.strip("'s")) for word in caption.split())
        return tuple(name for name in names if name is not None)

    def pairing_entities(self, caption: str) -> tuple[str, ...]:
        """The filter words among the caption's tokens (case-sensitive, no plurals), sorted."""
        return tuple(sorted(self._listed.intersection(penn_tokens(caption))))

    def answer(self, entities: Iterable[str], rng: np.random.Generator) -> str:
        """The part of a random template before the name, and the distinct entities in random order.

        Without entities it is the bare part: "a photo of one ".
        """
        prefix = TEMPLATES[int(rng.integers(len(TEMPLATES)))].partition("{}")[0]
        names = sorted(set(entities))
        return prefix + " and ".join(names[index] for index in rng.permutation(len(names)))

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.vocabulary.filter_words)

    def _name(self, stripped: str) -> str | None:
        """The entity of a word from which ``'`` and ``s`` are gone, if it is one."""
        key = stripped.strip(".").lower()
        if key not in self._listed:
            key = next(iter(getLemma(key, "NOUN", lemmatize_oov=False)), "")
        return self.vocabulary.canonical(key) if key in self._listed else None


@dataclass(frozen=True)
class MaskedShare:
    """How much of some captions a rule hides.

    Attributes:
      captions: how many captions were read.
      with_mask: how many have at least one mask.
      words: blank-parted words in all captions.
      masks: masks in all questions.
    """

    captions: int
    with_mask: int
    words: int
    masks: int

    @property
    def caption_share(self) -> float:
        """The share of captions with at least one mask, between 0 and 1."""
        return self.with_mask / max(self.captions, 1)

    @property
    def word_share(self) -> float:
        """The share of words that are masked, between 0 and 1."""
        return self.masks / max(self.words, 1)


def masked_share(captions: Iterable[str], rule: EntityRule) -> MaskedShare:
    """Counts what a rule masks in captions."""
    total = with_mask = words = masks = 0
    for caption in captions:
        found = len(rule.entities(caption))
        total += 1
        with_mask += found > 0
        words += len(caption.split())
        masks += found
    return MaskedShare(total, with_mask, words, masks)
