"""Multi-head attention with separate query, key, value and output projections."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from ovs_jax.nn.stochastic import dropout

KERNEL_DEVIATION = 0.02
KERNEL_INIT = nnx.initializers.truncated_normal(KERNEL_DEVIATION)


def linear(
    inputs: int,
    outputs: int,
    *,
    kernel_init: nnx.Initializer = KERNEL_INIT,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """A dense layer, initialised as vision transformers are (truncated normal, 0.02; zero bias)."""
    return nnx.Linear(inputs, outputs, kernel_init=kernel_init, rngs=rngs)


class Attention(nnx.Module):
    """Scaled dot-product attention (Vaswani et al., 2017, section 3.2).

    Args:
      width: channels of tokens and answers.
      heads: parts that attend on their own.
      kernel_init: of the query, key and value projections.
      out_init: of the output projection.
      dropout: share of the attention that training drops.
      rngs: random streams of the initial values.

    Raises:
      ValueError: the width is not a multiple of the number of heads.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kernel_init: nnx.Initializer = KERNEL_INIT,
        out_init: nnx.Initializer = KERNEL_INIT,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        if width % heads:
            raise ValueError(f"attention: width {width} is not a multiple of heads {heads}")
        self.query = linear(width, width, kernel_init=kernel_init, rngs=rngs)
        self.key = linear(width, width, kernel_init=kernel_init, rngs=rngs)
        self.value = linear(width, width, kernel_init=kernel_init, rngs=rngs)
        self.out = linear(width, width, kernel_init=out_init, rngs=rngs)
        self.heads = heads
        self.dropout = dropout

    def __call__(
        self,
        queries: Float[Array, "b q d"],
        keys: Float[Array, "b m d"],
        *,
        values: Float[Array, "b m d"] | None = None,
        mask: Bool[Array, "#b 1 #q m"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b q d"]:
        """Attends from ``queries`` to ``keys``.

        Args:
          queries: tokens that ask.
          keys: tokens that answer; the same as ``queries`` for self-attention.
          values: what the answers are made of, where that is not ``keys`` (keys with positions).
          mask: True where a query may see a key.
          key: random key of the dropout; without one nothing is dropped.

        Returns:
          One projected answer a query.
        """

        def heads(x: Array) -> Array:
            return x.reshape(*x.shape[:2], self.heads, -1)

        query, asked = heads(self.query(queries)), heads(self.key(keys))
        value = heads(self.value(keys if values is None else values))
        if mask is not None:
            mask = jnp.broadcast_to(mask, self._mask_shape(queries, keys))
        if key is None or not self.dropout:
            answer = jax.nn.dot_product_attention(query, asked, value, mask=mask)
        else:
            share = dropout(self._shares(query, asked, mask=mask), self.dropout, key=key)
            answer = jnp.einsum("bhqm,bmhd->bqhd", share.astype(value.dtype), value)
        return self.out(answer.reshape(queries.shape))

    @staticmethod
    def _shares(
        query: Float[Array, "b q h d"],
        key: Float[Array, "b m h d"],
        *,
        mask: Bool[Array, "b 1 q m"] | None,
    ) -> Float[Array, "b h q m"]:
        """How much of each key a query takes, float32."""
        scores = jnp.einsum("bqhd,bmhd->bhqm", query, key, preferred_element_type=jnp.float32)
        scores = scores / query.shape[-1] ** 0.5
        if mask is not None:
            scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
        return jax.nn.softmax(scores, axis=-1)

    @staticmethod
    def _mask_shape(queries: Array, keys: Array) -> tuple[int, ...]:
        return (queries.shape[0], 1, queries.shape[1], keys.shape[1])
