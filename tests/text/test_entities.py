import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.text.entities import (
    CorrectedRule,
    EntityVocabulary,
    OriginalRule,
    cross_prompt,
    entity_rule,
    masked_share,
    published_vocabulary,
)
from ovs_jax.text.prompts import TEMPLATES

CORRECTED = CorrectedRule()
ORIGINAL = OriginalRule()


@pytest.fixture(scope="module")
def worked() -> dict:
    file = Path(__file__).parent.parent / "golden" / "misc" / "mec_examples.json"
    return json.loads(file.read_text())


def test_the_original_rule_reproduces_the_published_questions_and_entities(worked: dict) -> None:
    assert len(worked["examples"]) == 20
    for example in worked["examples"]:
        caption = example["caption"]
        assert ORIGINAL.question(caption) == example["question"]
        assert list(ORIGINAL.entities(caption)) == example["entities_in_order"]
        assert sorted(set(ORIGINAL.entities(caption))) == example["answer_set"]
        assert (
            list(ORIGINAL.pairing_entities(caption)) == example["kept_by_filter_with_entities"]
        ), caption


@pytest.mark.parametrize("table", ["single_word_result", "naive_plural_result"])
def test_the_original_rule_finds_the_published_entity_of_every_single_word(
    worked: dict, table: str
) -> None:
    for word, expected in worked[table].items():
        assert ORIGINAL.entities(word) == (() if expected is None else (expected,)), word


def test_original_answers_are_a_cut_template_and_a_permutation(worked: dict) -> None:
    prefixes = {template.split("{}")[0] for template in TEMPLATES}
    for example in worked["examples"]:
        possible = {
            prefix + " and ".join(names)
            for prefix in prefixes
            for names in permutations(example["answer_set"])
        }
        assert example["one_sampled_answer"] in possible
        entities = ORIGINAL.entities(example["caption"])
        assert ORIGINAL.answer(entities, np.random.default_rng(0)) in possible
    drawn = {ORIGINAL.answer(("dog", "dog", "cat"), np.random.default_rng(i)) for i in range(200)}
    assert any(a.endswith("dog and cat") for a in drawn)
    assert any(a.endswith("cat and dog") for a in drawn)


@pytest.mark.parametrize(
    ("caption", "question", "entities"),
    [
        ("two dogs and a cat, playing.", "two [MASK] and a [MASK], playing.", ("dog", "cat")),
        ("The woman's bag is on it.", "The [MASK]'s [MASK] is on it.", ("people", "bag")),
        ("a red bus on the street", "a red [MASK] on the street", ("bus",)),
        ("buses, boxes & benches!", "[MASK], [MASK] & [MASK]!", ("bus", "box", "bench")),
        ("cars/trucks (bus stop)", "[MASK]/[MASK] ([MASK] stop)", ("car", "truck", "bus")),
        ("T-shirts, t-shirt", "[MASK], [MASK]", ("shirt", "shirt")),
        ("knives and mice", "[MASK] and [MASK]", ("knife", "mouse")),
        ("TVs and a Tv", "[MASK] and a [MASK]", ("tv", "tv")),
        ("skis, glass, glasses", "[MASK], [MASK], [MASK]", ("skis", "glass", "glass")),
        ("a dog-friendly toy-car", "a dog-friendly toy-[MASK]", ("car",)),
        ("five o'clock", "five o'clock", ()),
        ("the kids’ ball", "the [MASK]’ [MASK]", ("people", "ball")),
        ("a Gruyère   and\ttea ", "a Gruyère   and\ttea ", ()),
    ],
)
def test_the_corrected_rule_masks_entities_and_nothing_else(
    caption: str, question: str, entities: tuple[str, ...]
) -> None:
    assert CORRECTED.question(caption) == question
    assert CORRECTED.entities(caption) == entities


def test_every_published_word_and_its_plural_is_found_by_the_corrected_rule(worked: dict) -> None:
    vocabulary = published_vocabulary()
    for word in vocabulary.filter_words:
        assert CORRECTED.entities(f"({word})") == (vocabulary.canonical(word),)
    assert len(vocabulary.names) == 73


@given(st.text(max_size=60))
def test_masks_and_entities_agree_in_number_on_any_text(text: str) -> None:
    for rule in (CORRECTED, ORIGINAL):
        entities = rule.entities(text)
        assert rule.question(text, mask="\x00@").count("\x00@") == len(entities)
        assert set(entities) <= set(rule.vocabulary.names)


@given(
    st.lists(st.sampled_from(["dog", "cats", "(bus)", "runs,", "a", "T-shirt's", "\n"]), max_size=8)
)
def test_putting_the_words_back_restores_the_caption(words: list[str]) -> None:
    caption = " ".join(words)
    pieces = CORRECTED.question(caption).split("[MASK]")
    assert len(pieces) == len(CORRECTED.entities(caption)) + 1
    rest = caption
    for piece in pieces:
        assert piece in rest
        rest = rest[rest.index(piece) + len(piece) :]


def test_the_mask_word_can_be_chosen() -> None:
    assert CORRECTED.question("a dog.", mask="<mask>") == "a <mask>."
    assert ORIGINAL.question("a dog.", mask="<mask>") == "a <mask>"


def test_a_corrected_answer_names_entities_once_in_order_of_appearance() -> None:
    for seed in range(50):
        answer = CORRECTED.answer(("dog", "people", "dog"), np.random.default_rng(seed))
        assert "dog and people" in answer
        assert any(t.replace("{}", "dog and people") == answer for t in TEMPLATES)
    with pytest.raises(ValueError, match="at least one entity"):
        CORRECTED.answer((), np.random.default_rng(0))


def test_an_own_vocabulary_may_hold_phrases() -> None:
    vocabulary = EntityVocabulary(("fire truck", "truck", "disc"), {"disk": "disc"})
    rule = entity_rule("corrected", vocabulary)
    assert rule.question("Fire  trucks, trucks. Two disks") == "[MASK], [MASK]. Two [MASK]"
    assert rule.entities("Fire  trucks, trucks. Two disks") == ("fire truck", "truck", "disc")
    assert rule.entities("a fire, truck") == ("truck",)
    assert rule.pairing_entities("disk disc truck") == ("disc", "truck")


def test_bad_vocabularies_and_rules_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        EntityVocabulary(())
    with pytest.raises(ValueError, match="not trimmed"):
        EntityVocabulary(("dog ",))
    with pytest.raises(ValueError, match=r"entity_rule 'both' .* \('corrected', 'original'\)"):
        entity_rule("both")


def test_the_masked_share_counts_captions_and_words() -> None:
    share = masked_share(["a bus", "a dog", "the sea view"], ORIGINAL)
    assert (share.captions, share.with_mask, share.words, share.masks) == (3, 1, 7, 1)
    assert masked_share(["a bus", "a dog"], CORRECTED).caption_share == 1.0
    assert masked_share([], CORRECTED).caption_share == 0.0


def test_the_corrected_rule_masks_more_real_captions_than_the_original(shared_data: Path) -> None:
    file = shared_data / "photos_captions" / "captions.json"
    captions = [text for texts in json.loads(file.read_text()).values() for text in texts]
    corrected = masked_share(captions, CORRECTED)
    original = masked_share(captions, ORIGINAL)
    assert corrected.captions == 545
    assert corrected.masks > original.masks
    assert corrected.with_mask > original.with_mask


def test_the_cross_prompt_names_the_entity() -> None:
    assert cross_prompt("dog") == "A photo of dog"
