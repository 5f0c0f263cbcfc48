import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.text.nouns import nouns


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog sits next to a man on the bench.", "dog man bench"),
        ("a red bus at the bus stop", "bus stop"),
        ("Two dogs run and a cat sleeps", "dogs cat"),
        ("the light in a light room", "light room"),
        ("people standing near a building", "people building"),
        ("A potted plant on a dining table", "plant table"),
        ("a wine glass", "wine glass"),
        ("A tennis player on a clay court.", "tennis player clay court"),
        ("A tiled bathroom with a walk-in closet", "bathroom closet"),
        ("a selfie with my smartphone", "selfie smartphone"),
        ("about to blow, next to cars", "cars"),
        ("a boy in a white t-shirt", "boy t-shirt"),
        ("a dog, a dog and a dog", "dog"),
        ("this is it", ""),
        ("", ""),
    ],
)
def test_nouns_are_found_by_lexicon_and_position(caption: str, expected: str) -> None:
    assert nouns(caption) == tuple(expected.split())


@given(st.text(max_size=60))
def test_nouns_of_any_text_are_distinct_words_of_it(text: str) -> None:
    found = nouns(text)
    assert len(set(found)) == len(found)
    assert all(noun in text.lower() for noun in found)
