from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.data import entity_index
from ovs_jax.data.entity_index import index_entities
from ovs_jax.text.entities import CorrectedRule, OriginalRule

RULE = CorrectedRule()
CAPTIONS = ["a dog and a cat", "the sea", "cats", "a zebra", "two dogs", "dogs, a cat", "sky"]


def test_the_index_holds_captions_with_entities_both_ways() -> None:
    index = index_entities(CAPTIONS, RULE)
    assert index.kept.tolist() == [0, 2, 3, 4, 5]
    assert [index.entities_of(place) for place in range(len(index))] == [
        ("dog", "cat"),
        ("cat",),
        ("zebra",),
        ("dog",),
        ("dog", "cat"),
    ]
    assert index.places_of("dog").tolist() == [0, 3, 4]
    assert index.places_of("cat").tolist() == [0, 1, 4]
    assert index.alone == 1
    with pytest.raises(ValueError, match="entity 'sea' is in no caption"):
        index.places_of("sea")


def test_partners_are_drawn_uniformly_by_entity_then_by_caption() -> None:
    index = index_entities(CAPTIONS, RULE)
    rng = np.random.default_rng(0)
    drawn = Counter(index.partner(0, rng) for _ in range(4000))
    assert set(drawn) == {(3, "dog"), (4, "dog"), (1, "cat"), (4, "cat")}
    assert all(abs(count - 1000) < 120 for count in drawn.values())


def test_a_caption_that_shares_nothing_is_its_own_partner() -> None:
    index = index_entities(CAPTIONS, RULE)
    assert index.partner(2, np.random.default_rng(0)) == (2, "zebra")


def test_no_entities_give_an_empty_index() -> None:
    index = index_entities(["sea", ""], RULE)
    assert len(index) == 0
    assert index.alone == 0


def test_the_original_rule_pairs_by_filter_words() -> None:
    index = index_entities(["a man", "a woman", "men", "the man."], OriginalRule())
    assert index.partner(0, np.random.default_rng(1)) == (3, "man")
    assert index.alone == 2


words = st.sampled_from(["dog", "cats", "a bus", "man", "sea", "women", "ox"])


@given(st.lists(st.lists(words, max_size=4).map(" ".join), max_size=12), st.integers(0, 9))
def test_partners_share_the_entity_and_are_another_caption_where_there_is_one(
    captions: list[str], seed: int
) -> None:
    index = index_entities(captions, RULE)
    alone = 0
    for place in range(len(index)):
        partner, entity = index.partner(place, np.random.default_rng(seed))
        assert (partner, entity) == index.partner(place, np.random.default_rng(seed))
        assert entity in index.entities_of(place)
        assert entity in RULE.entities(captions[index.kept[partner]])
        others = {
            other
            for name in index.entities_of(place)
            for other in index.places_of(name).tolist()
            if other != place
        }
        alone += not others
        assert partner in others if others else partner == place
    assert index.alone == alone


@given(
    st.lists(st.lists(words, max_size=3).map(" ".join), min_size=1, max_size=12),
    st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_partners_within_a_range_are_those_of_the_range_alone(
    captions: list[str], bounds: tuple[int, int]
) -> None:
    index = index_entities(captions, RULE)
    first, end = sorted(min(bound, len(index)) for bound in bounds)
    alone = index_entities([captions[kept] for kept in index.kept[first:end]], RULE)
    for place in range(first, end):
        for seed in range(3):
            partner, entity = index.partner(place, np.random.default_rng(seed), within=(first, end))
            expected = alone.partner(place - first, np.random.default_rng(seed))
            assert (partner - first, entity) == expected


def test_blocks_read_apart_give_the_index_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = ["a dog and a cat", "the sea", "cats", "", "a zebra", "two dogs, a zebra"] * 5
    whole = index_entities(captions, RULE)
    monkeypatch.setattr(entity_index, "BLOCK", 4)
    pieces = index_entities(captions, RULE)
    assert pieces.names == whole.names == ("dog", "cat", "zebra")
    for name in ("kept", "entity_starts", "entities", "place_starts", "places"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
