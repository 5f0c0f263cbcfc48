import sys
from types import ModuleType

import pytest

from ovs_jax.text import tagged_nouns as module
from ovs_jax.text.tagged_nouns import require_tagger, tagged_nouns


@pytest.fixture(autouse=True)
def forgotten() -> None:
    require_tagger.cache_clear()


def _install(monkeypatch: pytest.MonkeyPatch, pos_tag: object) -> None:
    """Puts another function in the place of NLTK's, which is no requirement of the tests."""
    nltk = ModuleType("nltk")
    nltk.pos_tag = pos_tag  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nltk", nltk)


def test_words_tagged_as_nouns_are_taken_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"Dogs": "NNS", "run": "VBP", "Paris": "NNP", "dogs": "NNS", "%": "NN"}
    _install(monkeypatch, lambda words: [(word, tags.get(word, "DT")) for word in words])
    assert tagged_nouns("Dogs run, the dogs of Paris %.") == ("dogs", "paris")
    require_tagger.cache_clear()


def test_a_missing_package_or_its_missing_data_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(ImportError, match="NLTK is not installed: pip install nltk && python -m"):
        tagged_nouns("a dog")

    def untrained(words: list[str]) -> None:
        raise LookupError("Resource averaged_perceptron_tagger_eng not found")

    _install(monkeypatch, untrained)
    with pytest.raises(ImportError, match=r"data of its tagger is not: .* prompt_words='nouns'"):
        tagged_nouns("a dog")
    assert module.require_tagger.cache_info().currsize == 0


def test_the_tagger_of_nltk_finds_nouns() -> None:
    pytest.importorskip("nltk", reason="NLTK is not installed")
    try:
        found = tagged_nouns("Two dogs sit on a red bench.")
    except ImportError:
        pytest.skip("the data of NLTK's tagger is missing")
    assert found == ("dogs", "bench")
