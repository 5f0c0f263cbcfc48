"""BERT (Devlin et al., 2019) and RoBERTa (Liu et al., 2019): post-norm transformers."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from ovs_jax.models.features import Text, TextFeatures
from ovs_jax.models.text.config import TextConfig, check_length
from ovs_jax.nn.attention import KERNEL_INIT, Attention
from ovs_jax.nn.execution import Executed, run_layers
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.stochastic import dropout, split
from ovs_jax.nn.transformer import Mlp

BERT_PADDING = 0
ROBERTA_PADDING = 1


class BertLayer(nnx.Module):
    """Self-attention and MLP, each with a residual and a LayerNorm after it."""

    def __init__(self, config: TextConfig, *, eps: float, rngs: nnx.Rngs) -> None:
        self.attention = Attention(config.width, config.heads, dropout=config.dropout, rngs=rngs)
        self.attention_norm = LayerNorm(config.width, eps=eps)
        self.mlp = Mlp(config.width, config.hidden, config.width, rngs=rngs)
        self.mlp_norm = LayerNorm(config.width, eps=eps)
        self.dropout = config.dropout

    def __call__(
        self,
        x: Float[Array, "b l d"],
        *,
        mask: Bool[Array, "b 1 1 l"],
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b l d"]:
        """Returns the tokens, informed by the kept ones."""
        first, second, shares = split(key, 3)
        informed = self.attention(x, x, mask=mask, key=shares)
        x = self.attention_norm(x + dropout(informed, self.dropout, key=first))
        return self.mlp_norm(x + dropout(self.mlp(x), self.dropout, key=second))


class Bert(Executed):
    """The encoder without its pooler, which neither published model uses.

    RoBERTa differs in eps, in having one token type, and in counting positions from the padding id
    on, padding not counted.
    """

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs) -> None:
        roberta = config.kind == "roberta"
        eps = 1e-5 if roberta else 1e-12
        positions = config.length + (ROBERTA_PADDING + 1 if roberta else 0)

        def table(rows: int) -> nnx.Param:
            return nnx.Param(KERNEL_INIT(rngs.params(), (rows, config.width)))

        self.token_embedding = table(config.vocabulary)
        self.position_embedding = table(positions)
        self.type_embedding = table(1 if roberta else 2)
        self.embedding_norm = LayerNorm(config.width, eps=eps)
        self.layers = nnx.List(BertLayer(config, eps=eps, rngs=rngs) for _ in range(config.depth))
        self.length = config.length
        self.roberta = roberta
        self.padding = ROBERTA_PADDING if roberta else BERT_PADDING
        self.dropout = config.dropout

    def positions(self, mask: Bool[Array, "b l"]) -> Int[Array, "b l"]:
        """The position id of every token."""
        if not self.roberta:
            return jnp.broadcast_to(jnp.arange(mask.shape[1])[None], mask.shape)
        kept = mask.astype(jnp.int32)
        return jnp.cumsum(kept, axis=1) * kept + ROBERTA_PADDING

    def __call__(self, text: Text, *, key: Key[Array, ""] | None = None) -> TextFeatures:
        """Encodes texts.

        Args:
          text: ``ids`` and ``mask``, both b l.
          key: random key; without one nothing is dropped.

        Returns:
          The last hidden states, and the one at position 0.

        Raises:
          ValueError: the texts are longer than the model's ``length``.
        """
        ids, mask = text["ids"], text["mask"]
        check_length(ids, self.length)
        embedding_key, layers_key = split(key, 2)
        x = jnp.take(self.token_embedding[...], ids, axis=0)
        # The published code never trains the padding's embedding, though its tokens reach the loss.
        x = jnp.where((ids == self.padding)[..., None], jax.lax.stop_gradient(x), x)
        x = x + jnp.take(self.position_embedding[...], self.positions(mask), axis=0)
        x = x + self.type_embedding[0][None, None]
        x = dropout(self.embedding_norm(x), self.dropout, key=embedding_key)
        visible = mask[:, None, None, :]
        x = run_layers(
            self.layers,
            x,
            call=lambda layer, y, k: layer(y, mask=visible, key=k),
            execution=self.execution,
            key=layers_key,
        )
        return TextFeatures(pooled=x[:, 0], tokens=x)
