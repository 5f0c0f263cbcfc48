"""The nouns of a caption by NLTK's part-of-speech tagger, which published data was prepared with.

NLTK and its data are not requirements of this package: `ovs_jax.text.nouns` needs no download.
"""

from functools import lru_cache
from typing import Any

from ovs_jax.text.penn import penn_tokens

_REMEDY = (
    "pip install nltk && python -m nltk.downloader averaged_perceptron_tagger_eng; "
    "or take prompt_words='nouns', which needs neither"
)


@lru_cache(maxsize=1)
def require_tagger() -> Any:
    """NLTK's tagger, a function from words to pairs of word and Penn Treebank tag.

    Raises:
      ImportError: NLTK or the data of its tagger is missing; tells how to get it.
    """
    try:
        from nltk import pos_tag  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"prompt_words 'nltk_nouns': NLTK is not installed: {_REMEDY}") from error
    try:
        pos_tag(["dog"])
    except LookupError as error:
        raise ImportError(
            f"prompt_words 'nltk_nouns': NLTK is installed, the data of its tagger is not: "
            f"{_REMEDY}"
        ) from error
    return pos_tag


def tagged_nouns(caption: str) -> tuple[str, ...]:
    """The distinct nouns of a caption, in lower case, inflected as they stand, by first appearance.

    Args:
      caption: a sentence or a few.

    Returns:
      The words that are tagged NN, NNS, NNP or NNPS; perhaps none.

    Raises:
      ImportError: as `require_tagger`.
    """
    tagged = require_tagger()(list(penn_tokens(caption)))
    return tuple(
        dict.fromkeys(
            word.lower()
            for word, tag in tagged
            if tag.startswith("NN") and any(character.isalpha() for character in word)
        )
    )
