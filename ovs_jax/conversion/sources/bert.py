"""BERT in a Hugging Face folder, alone or under a task's head."""

from ovs_jax.conversion.layers import text_transformer
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.models.text import TextConfig

ROBERTA_OFFSET = 2
"""Rows of RoBERTa's position table that no token of a text uses."""
_ROBERTA_TYPES = 1


def text_config(sizes: Sizes, prefix: str) -> TextConfig:
    """The sizes of BERT or RoBERTa from shapes; one token type tells RoBERTa."""
    embeddings = f"{prefix}embeddings"
    tokens = f"{embeddings}.word_embeddings.weight"
    types = sizes.size(f"{embeddings}.token_type_embeddings.weight", 0)
    roberta = types == _ROBERTA_TYPES
    length = sizes.size(f"{embeddings}.position_embeddings.weight", 0)
    width = sizes.size(tokens, 1)
    return TextConfig(
        kind="roberta" if roberta else "bert",
        vocabulary=sizes.size(tokens, 0),
        length=length - ROBERTA_OFFSET if roberta else length,
        width=width,
        depth=sizes.count(f"{prefix}encoder.layer.{{i}}.*"),
        heads=sizes.heads(width),
        hidden=sizes.size(f"{prefix}encoder.layer.0.intermediate.dense.weight", 0),
        dropout=0.1,
    )


def settings_config(sizes: Sizes, *, roberta: bool) -> TextConfig:
    """The sizes of BERT or RoBERTa from ``config.json`` and the shapes."""
    sizes.require("model_type", "roberta" if roberta else "bert")
    sizes.require("hidden_act", "gelu")
    sizes.require("layer_norm_eps", 1e-5 if roberta else 1e-12)
    sizes.require("type_vocab_size", _ROBERTA_TYPES if roberta else 2)
    shapes = text_config(sizes, "")
    offset = ROBERTA_OFFSET if roberta else 0
    length = sizes.size("embeddings.position_embeddings.weight", 0)
    return TextConfig(
        kind="roberta" if roberta else "bert",
        vocabulary=sizes.setting("vocab_size", shapes.vocabulary),
        length=sizes.setting("max_position_embeddings", length) - offset,
        width=sizes.setting("hidden_size", shapes.width),
        depth=sizes.setting("num_hidden_layers", shapes.depth),
        heads=sizes.setting("num_attention_heads", shapes.heads),
        hidden=sizes.setting("intermediate_size", shapes.hidden),
        dropout=sizes.setting("hidden_dropout_prob", shapes.dropout),
    )


def config(sizes: Sizes) -> TextConfig:
    """Sizes from ``config.json`` and the shapes."""
    return settings_config(sizes, roberta=False)


RULES = tuple(text_transformer("", ""))
SOURCE = Source(
    name="bert",
    summary="BERT in a Hugging Face folder",
    rules=RULES,
    config=config,
    marker="embeddings.word_embeddings.weight",
    prefixes=("", "bert."),
    outside=(
        Rule("cls.*", reason="the head of another task"),
        Rule("classifier.*", reason="the head of another task"),
    ),
    folder=True,
    tokenizer="wordpiece",
    licence="that of the folder's publisher; Google's BERT is under Apache-2.0",
)
