"""Sizes of the text encoders."""

from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Array, Int


@dataclass(frozen=True)
class TextConfig:
    """A text transformer.

    Attributes:
      kind: ``clip`` (causal, pre-norm, pooled at the last kept token), ``bert`` or ``roberta``
        (post-norm, pooled at the first token).
      vocabulary: number of token ids.
      length: most tokens of a text.
      width: channels of every token.
      depth: transformer layers.
      heads: attention heads.
      hidden: channels inside the MLPs.
      dropout: rate after the embeddings and every sub-layer, and on attention (BERT and RoBERTa).
    """

    kind: Literal["clip", "bert", "roberta"] = "clip"
    vocabulary: int = 49408
    length: int = 77
    width: int = 256
    depth: int = 12
    heads: int = 4
    hidden: int = 1024
    dropout: float = 0.0


BERT_BASE = TextConfig(
    kind="bert",
    vocabulary=30522,
    length=512,
    width=768,
    depth=12,
    heads=12,
    hidden=3072,
    dropout=0.1,
)
ROBERTA_BASE = replace(BERT_BASE, kind="roberta", vocabulary=50265)


def check_length(ids: Int[Array, "b l"], length: int) -> None:
    """Refuses texts with more tokens than there are positions; JAX would fill in NaN for them.

    Raises:
      ValueError: names both lengths.
    """
    if ids.shape[1] > length:
        raise ValueError(
            f"text: got {ids.shape[1]} tokens, expected at most {length} (text.length)"
        )
