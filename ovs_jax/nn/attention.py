"""Multi-head attention with separate query, key, value and output projections."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

KERNEL_DEVIATION = 0.02
KERNEL_INIT = nnx.initializers.truncated_normal(KERNEL_DEVIATION)


def linear(inputs: int, outputs: int, *, bias: bool = True, rngs: nnx.Rngs) -> nnx.Linear:
    """A dense layer, initialised as vision transformers are (truncated normal, 0.02; zero bias)."""
    return nnx.Linear(inputs, outputs, use_bias=bias, kernel_init=KERNEL_INIT, rngs=rngs)


class Attention(nnx.Module):
    """Scaled dot-product attention (Vaswani et al., 2017, section 3.2).

    Raises:
      ValueError: the width is not a multiple of the number of heads.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        if width % heads:
            raise ValueError(f"attention: width {width} is not a multiple of heads {heads}")
        self.query = linear(width, width, rngs=rngs)
        self.key = linear(width, width, rngs=rngs)
        self.value = linear(width, width, rngs=rngs)
        self.out = linear(width, width, rngs=rngs)
        self.heads = heads

    def __call__(
        self,
        queries: Float[Array, "b q d"],
        keys: Float[Array, "b m d"],
        *,
        mask: Bool[Array, "#b 1 #q m"] | None = None,
    ) -> Float[Array, "b q d"]:
        """Attends from ``queries`` to ``keys``.

        Args:
          queries: tokens that ask.
          keys: tokens that answer; the same as ``queries`` for self-attention.
          mask: True where a query may see a key.

        Returns:
          One projected answer a query.
        """

        def heads(x: Array) -> Array:
            return x.reshape(*x.shape[:2], self.heads, -1)

        answer = jax.nn.dot_product_attention(
            heads(self.query(queries)),
            heads(self.key(keys)),
            heads(self.value(keys)),
            mask=None if mask is None else jnp.broadcast_to(mask, self._mask_shape(queries, keys)),
        )
        return self.out(answer.reshape(queries.shape))

    @staticmethod
    def _mask_shape(queries: Array, keys: Array) -> tuple[int, ...]:
        return (queries.shape[0], 1, queries.shape[1], keys.shape[1])
