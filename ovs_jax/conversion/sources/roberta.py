"""RoBERTa in a Hugging Face folder, alone or under a task's head."""

from ovs_jax.conversion.layers import text_transformer
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.bert import settings_config
from ovs_jax.models.text import TextConfig

RULES = tuple(text_transformer("", ""))


def config(sizes: Sizes) -> TextConfig:
    """Sizes from ``config.json`` and the shapes."""
    return settings_config(sizes, roberta=True)


SOURCE = Source(
    name="roberta",
    summary="RoBERTa in a Hugging Face folder",
    rules=RULES,
    config=config,
    marker="embeddings.word_embeddings.weight",
    prefixes=("", "roberta."),
    outside=(
        Rule("lm_head.*", reason="the head of another task"),
        Rule("classifier.*", reason="the head of another task"),
    ),
    folder=True,
    tokenizer="roberta",
    licence="that of the folder's publisher; RoBERTa was published under the MIT licence",
)
