import json
from pathlib import Path

import pytest

from ovs_jax.text.assets import asset_text
from ovs_jax.text.entities import published_vocabulary
from ovs_jax.text.entity_files import read_entity_list


def test_the_published_list_is_read_from_its_own_form(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text(asset_text("entities.json"))
    vocabulary, rule = read_entity_list(file)
    assert vocabulary == published_vocabulary()
    assert rule is None
    content = json.loads(file.read_text())
    content |= {"rule": "corrected", "canonical": list(vocabulary.names)}
    file.write_text(json.dumps(content))
    assert read_entity_list(file) == (vocabulary, "corrected")


def test_a_list_may_be_one_word_a_line(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("dog\nfire truck\n")
    vocabulary, rule = read_entity_list(tmp_path / "own.txt")
    assert (vocabulary.filter_words, rule) == (("dog", "fire truck"), None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"filter_words": ["dog", "cat", "dog"]}', r"stand there twice: \['dog'\]"),
        ('{"filter_words": ["dog", ""]}', r"empty or not trimmed: \[''\]"),
        ('{"filter_words": [" dog"]}', r"empty or not trimmed: \[' dog'\]"),
        ('{"filter_words": []}', "at least one word"),
        ('{"filter_words": ["dog"], "filter_words": ["cat"]}', "twice: .'filter_words'"),
        ('{"filter_words": ["d"], "synonyms": {"d": "a", "d": "b"}}', r"twice: \['d'\]"),
        ('{"filter_words": ["d"], "synonyms": {"d": " "}}', r"have no name: \['d'\]"),
        ('{"filter_words": ["d"], "synonyms": {" ": "d"}}', r"not trimmed: \[' '\]"),
        ('{"filter_words": ["d"], "synonyms": ["d"]}', "'synonyms' to be an object"),
        ('{"filter_words": "dog"}', "'filter_words' to be a list"),
        ('{"filter_words": ["d"], "rule": "new"}', "'rule' to be one of .* got 'new'"),
        ('{"filter_words": ["d"], "canonical": ["e"]}', r"does not fit .*\['d', 'e'\]"),
        ('{"words": ["d"]}', r"expected an object with 'filter_words' .* found \['words'\]"),
        ("[]", "found list"),
        ("{", "Expecting"),
    ],
)
def test_a_wrong_list_names_the_file_and_the_fault(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "own.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"entity list .*own\.json: .*{message}"):
        read_entity_list(file)


def test_a_text_list_with_blanks_or_duplicates_is_an_error(tmp_path: Path) -> None:
    for content, message in (("dog\n\ncat\n", "empty"), ("dog\ncat\ndog\n", "twice")):
        (tmp_path / "own.txt").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_entity_list(tmp_path / "own.txt")
    (tmp_path / "own.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="expected UTF-8 text"):
        read_entity_list(tmp_path / "own.txt")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_entity_list(tmp_path / "none.txt")
