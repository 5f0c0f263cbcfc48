"""Multi-head attention with separate query, key, value and output projections."""

import logging
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from ovs_jax.nn.execution import AttentionName, Executed
from ovs_jax.nn.stochastic import dropout

logger = logging.getLogger(__name__)

KERNEL_DEVIATION = 0.02
MOST_CHANNELS = 128
"""Of a head, on every GPU that cuDNN's attention runs on; Hopper takes 256."""
KERNEL_INIT = nnx.initializers.truncated_normal(KERNEL_DEVIATION)


def linear(
    inputs: int,
    outputs: int,
    *,
    bias: bool = True,
    kernel_init: nnx.Initializer = KERNEL_INIT,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """A dense layer, initialised as vision transformers are (truncated normal, 0.02; zero bias)."""
    return nnx.Linear(inputs, outputs, use_bias=bias, kernel_init=kernel_init, rngs=rngs)


def attend(
    query: Float[Array, "b q h c"],
    key: Float[Array, "b m h c"],
    value: Float[Array, "b m h c"],
    *,
    mask: Bool[Array, "b 1 q m"] | None,
    implementation: AttentionName,
) -> Float[Array, "b q h c"]:
    """Softmax over the keys in float32, whatever the dtype, and the values by it.

    Args:
      query: what asks, by head.
      key: what is asked.
      value: what the answers are made of.
      mask: True where a query may see a key.
      implementation: see `nn.execution.Execution`. ``cudnn`` where it cannot be used logs one
        warning with the reason and computes as ``xla``; ``auto`` does so silently.
    """
    if implementation != "xla":
        obstacle = cudnn_obstacle(query.dtype, query.shape[-1], platform=jax.default_backend())
        if obstacle is None:
            try:
                return jax.nn.dot_product_attention(
                    query, key, value, mask=mask, implementation="cudnn"
                )
            except (ValueError, RuntimeError, NotImplementedError) as error:
                obstacle = " ".join(str(error).split())
        if implementation == "cudnn":
            _warn_once(obstacle)
    return jax.nn.dot_product_attention(query, key, value, mask=mask, implementation="xla")


def cudnn_obstacle(dtype: Any, channels: int, *, platform: str) -> str | None:
    """Why cuDNN's attention cannot be used, or None if it can.

    Args:
      dtype: of queries, keys and values.
      channels: of a head.
      platform: that of the devices, as JAX calls it.
    """
    if platform not in ("gpu", "cuda"):
        return f"it needs an NVIDIA GPU, and the devices are of the platform '{platform}'"
    if dtype not in (jnp.bfloat16, jnp.float16):
        return f"it needs bfloat16 or float16, and step.dtype makes it {jnp.dtype(dtype).name}"
    if channels % 8 or channels > MOST_CHANNELS:
        return f"it needs heads of a multiple of 8 and at most {MOST_CHANNELS} channels: {channels}"
    return None


@cache
def _warn_once(obstacle: str) -> None:
    logger.warning("step.attention: cudnn cannot be used, computing with xla: %s", obstacle)


class Attention(Executed):
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
            chosen = self.execution.attention
            answer = attend(query, asked, value, mask=mask, implementation=chosen)
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
