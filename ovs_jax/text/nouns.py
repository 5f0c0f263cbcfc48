"""The nouns of a caption, found offline from a lexicon and the neighbouring words.

The lexicon (`lemminflect`) says which parts of speech a word *can* be. Many words can be several,
and a trained tagger would need a download, so what a word *is* follows from agreement and position,
which is enough for captions: "a dog *sits*", "the bus *stop*", "two dogs *run*", "a *light* room",
"a *light*".
"""

import re
from functools import lru_cache

from lemminflect import getAllLemmas

from ovs_jax.text.assets import asset_json

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\d+|[^\w\s'’-]")

# Closed classes: the lexicon does not list most of them, and a few it lists as nouns ("no").
_CLOSED = {name: frozenset(words) for name, words in asset_json("function_words.json").items()}
_DETERMINERS, _LINKS, _POSSESSION = (
    _CLOSED[name] for name in ("determiners", "links", "possession")
)
_FUNCTION = frozenset().union(*_CLOSED.values())


@lru_cache(maxsize=65536)
def _parts_of_speech(word: str) -> frozenset[str]:
    """What a lower-case word can be; most likely a noun if the lexicon does not know it."""
    if word in _FUNCTION or not word[0].isalpha() or len(word) < 2:
        return frozenset()
    known = getAllLemmas(word)
    if not known and "-" in word:
        last = word.rsplit("-", 1)[1]
        known = {"ADJ": ()} if last in _FUNCTION else getAllLemmas(last)
    return frozenset(known) or frozenset({"NOUN"})


@lru_cache(maxsize=65536)
def _is_plural(noun: str) -> bool:
    lemmas = getAllLemmas(noun).get("NOUN", ())
    return noun.endswith("s") and bool(lemmas) and noun not in lemmas


@lru_cache(maxsize=65536)
def _describes(word: str) -> bool:
    """Whether a word can stand before its noun: "*white* stove", "*potted* plant"."""
    if word in _DETERMINERS or word in _POSSESSION:
        return True
    can_be = _parts_of_speech(word)
    return "ADJ" in can_be or (can_be == {"VERB"} and word.endswith(("ed", "ing", "en")))


def _is_noun(word: str, before: str, noun_before: str, after: str) -> bool:
    """Whether a word is used as a noun.

    Args:
      word: in lower case, as the others.
      before: the word or mark before it, "" at the start.
      noun_before: the same word if it was taken for a noun, otherwise "".
      after: the word or mark after it, "" at the end.
    """
    can_be = _parts_of_speech(word)
    if not can_be & {"NOUN", "PROPN"}:
        return False
    if "ADJ" in can_be and _parts_of_speech(after or "a") & {"NOUN", "PROPN"}:
        return False  # "a light room": it describes what follows
    if "VERB" not in can_be or not before:
        return True
    if word.endswith("ing"):
        return _describes(before) and not noun_before  # "a building", but "people standing"
    if noun_before:
        # Verbs agree in number: "dogs run" and "a dog runs" are verbs, "bus stop" is not.
        return not _is_plural(noun_before) and not _is_plural(word)
    if before == "to":
        return _is_plural(word)  # "about to blow", but "next to cars"
    return before in _LINKS or before == "," or _describes(before)


def nouns(caption: str) -> tuple[str, ...]:
    """The distinct nouns of a caption, in lower case, inflected as they stand, by first appearance.

    Args:
      caption: a sentence or a few.

    Returns:
      Perhaps none. Words unknown to the lexicon count as nouns.
    """
    words = _WORD.findall(caption.lower())
    found: dict[str, None] = {}
    before, noun_before = "", ""
    for position, word in enumerate(words):
        after = words[position + 1] if position + 1 < len(words) else ""
        noun = _is_noun(word, before, noun_before, after)
        if noun:
            found[word] = None
        # Only a full stop begins anew; a comma is kept as a neighbour.
        before = "" if word in ".!?;:" else word
        noun_before = word if noun else ""
    return tuple(found)
