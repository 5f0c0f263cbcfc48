import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.text.penn import penn_tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the dog's ball, and the kids' toys", "the|dog|'s|ball|,|and|the|kids|'|toys"),
        ("cars/trucks on the highway (bus stop)", "cars/trucks|on|the|highway|(|bus|stop|)"),
        ("A man wearing a T-shirt.", "A|man|wearing|a|T-shirt|."),
        ("A dog. A cat.", "A|dog|.|A|cat|."),
        ("a 3.5 m, 1,000 kg; U.S. bus...", "a|3.5|m|,|1,000|kg|;|U.S|.|bus|..."),
        ("they don't; it's", "they|do|n't|;|it|'s"),
        ('a "dog" -- [cat]!?', 'a|"|dog|"|--|[|cat|]|!|?'),
        ("dog:cat 10:30", "dog|:|cat|10:30"),
        ("", ""),
    ],
)
def test_marks_and_contractions_are_split_from_words(text: str, expected: str) -> None:
    assert penn_tokens(text) == tuple(expected.split("|") if expected else ())


@given(st.text(max_size=60))
def test_tokens_are_the_text_without_its_white_space(text: str) -> None:
    assert "".join(penn_tokens(text)) == "".join(text.split())
