"""Text encoders with one interface: token ids and mask in, pooled and token features out."""

from flax import nnx

from ovs_jax.models.text.bert import Bert
from ovs_jax.models.text.clip import ClipText
from ovs_jax.models.text.config import BERT_BASE, ROBERTA_BASE, TextConfig

__all__ = ["BERT_BASE", "ROBERTA_BASE", "Bert", "ClipText", "TextConfig", "text_encoder"]


def text_encoder(config: TextConfig, *, rngs: nnx.Rngs) -> Bert | ClipText:
    """Builds the encoder that ``config.kind`` names."""
    return ClipText(config, rngs=rngs) if config.kind == "clip" else Bert(config, rngs=rngs)
