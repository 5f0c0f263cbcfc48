"""The causal text transformer of CLIP (Radford et al., 2021, section 2.4), also GroupViT's."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Int, Key

from ovs_jax.models.features import Text, TextFeatures
from ovs_jax.models.text.config import TextConfig, check_length
from ovs_jax.nn.attention import KERNEL_INIT
from ovs_jax.nn.execution import Executed, run_layers
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.transformer import Block

EPS = 1e-5


class ClipText(Executed):
    """Pre-norm blocks with quick-GELU and a causal mask; padding, being last, is never seen."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs) -> None:
        self.token_embedding = nnx.Param(
            KERNEL_INIT(rngs.params(), (config.vocabulary, config.width))
        )
        self.position_embedding = nnx.Param(
            KERNEL_INIT(rngs.params(), (config.length, config.width))
        )
        self.blocks = nnx.List(
            Block(
                config.width,
                config.heads,
                mlp_ratio=config.hidden / config.width,
                activation="quick_gelu",
                eps=EPS,
                rngs=rngs,
            )
            for _ in range(config.depth)
        )
        self.norm = LayerNorm(config.width, eps=EPS)

    def __call__(self, text: Text, *, key: Key[Array, ""] | None = None) -> TextFeatures:
        """Encodes texts.

        Args:
          text: ``ids`` and ``mask``, both b l; the last kept token is the end-of-text token.
          key: random key of the training noise.

        Returns:
          Features of every token after the final norm, and of the end-of-text token.

        Raises:
          ValueError: the texts are longer than the model's ``length``.
        """
        ids, mask = text["ids"], text["mask"]
        check_length(ids, self.position_embedding.shape[0])
        length = ids.shape[1]
        tokens = jnp.take(self.token_embedding[...], ids, axis=0)
        x = tokens + self.position_embedding[:length][None]
        causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
        x = run_layers(
            self.blocks,
            x,
            call=lambda block, y, k: block(y, mask=causal, key=k),
            execution=self.execution,
            key=key,
        )
        x = self.norm(x)
        last = jnp.maximum(mask.sum(1) - 1, 0)
        return TextFeatures(
            pooled=jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0], tokens=x
        )


def end_of_text_mask(ids: Int[Array, "*b l"]) -> Bool[Array, "*b l"]:
    """The mask of CLIP token ids, whose end-of-text token is the largest id."""
    end = ids.argmax(-1, keepdims=True)
    return jax.lax.broadcasted_iota(jnp.int32, ids.shape, ids.ndim - 1) <= end
