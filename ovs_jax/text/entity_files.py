"""Own lists of entities, from files."""

import json
from pathlib import Path
from typing import Any

from ovs_jax.text.entities import RULES, EntityVocabulary

FIELDS = ("filter_words", "synonyms", "rule", "canonical")


def read_entity_list(path: str | Path) -> tuple[EntityVocabulary, str | None]:
    """Reads what counts as an entity.

    Args:
      path: a JSON object with ``filter_words`` (a list of words) and, if wanted, ``synonyms`` (an
        object of word to canonical name), ``rule`` (`entities.RULES`) and ``canonical`` (all
        canonical names, as a check); or a text file with one word a line.

    Returns:
      The words, and the name of the rule if the file has one.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not as described, or a word is blank or stands there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"entity list {path}: there is no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return _parsed(json.loads(text, object_pairs_hook=_distinct))
        return EntityVocabulary(tuple(text.removesuffix("\n").split("\n"))), None
    except UnicodeDecodeError as error:
        raise ValueError(f"entity list {path}: expected UTF-8 text ({error})") from error
    except ValueError as error:
        raise ValueError(f"entity list {path}: {error}") from error


def _parsed(content: Any) -> tuple[EntityVocabulary, str | None]:
    if not isinstance(content, dict) or not {"filter_words"} <= set(content) <= set(FIELDS):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"expected an object with 'filter_words' among {FIELDS}, found {found}")
    content = {"synonyms": {}, "rule": None, "canonical": None} | content
    words, synonyms, rule = content["filter_words"], content["synonyms"], content["rule"]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("expected 'filter_words' to be a list of words")
    if not isinstance(synonyms, dict) or not all(isinstance(w, str) for w in synonyms.values()):
        raise ValueError("expected 'synonyms' to be an object of word to name")
    blank = [word for word, name in synonyms.items() if not name.strip()]
    if blank:
        raise ValueError(f"these synonyms have no name: {blank}")
    if rule is not None and rule not in RULES:
        raise ValueError(f"expected 'rule' to be one of {RULES}, got '{rule}'")
    vocabulary = EntityVocabulary(tuple(words), synonyms)
    names = content["canonical"]
    if names is not None and set(names) != set(vocabulary.names):
        different = sorted(set(names) ^ set(vocabulary.names))
        raise ValueError(f"'canonical' does not fit words and synonyms: {different}")
    return vocabulary, rule


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"these names stand there twice: {twice}")
    return dict(pairs)
