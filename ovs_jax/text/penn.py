"""Words and marks of an English sentence, split by the Penn Treebank convention.

The published training data was filtered with such a tokeniser; only its treatment of words matters
here, so quotation marks keep their shape and the contractions without an apostrophe ("gonna") are
left whole.
"""

import re

_APART = re.compile(r"([;@#$%&?!\[\](){}<>«»“”„…\"]|``|''|--|\.\.+)")
_COMMA = re.compile(r"([,:])(?!\d)")
_FINAL_STOP = re.compile(r"(?<=[^\s.])\.(?=[\]\)}>\"'»”’]*(?:\s|$))")
_CONTRACTION = re.compile(r"(?i)(?<=[^\s'])('s|'m|'d|'ll|'re|'ve|n't|')(?=\s|$)")


def penn_tokens(text: str) -> tuple[str, ...]:
    """Splits punctuation, possessives and contractions from words; hyphens and slashes stay inside.

    A full stop is split off at the end of every word, as if each ended a sentence: the sentence
    model of the usual tools would keep it on abbreviations.

    Args:
      text: any text.

    Returns:
      The tokens in order: ``"the dog's ball."`` gives ``the, dog, 's, ball, .``.
    """
    text = _APART.sub(r" \1 ", text)
    text = _COMMA.sub(r" \1 ", text)
    text = _FINAL_STOP.sub(" . ", text)
    return tuple(_CONTRACTION.sub(r" \1", text).split())
