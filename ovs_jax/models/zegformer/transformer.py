"""DETR's transformer (Carion et al., 2020, appendix A.3): image tokens, and queries that ask them.

Positions are added to queries and keys at every attention, never to values.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from ovs_jax.models.zegformer.config import TransformerConfig
from ovs_jax.nn.attention import Attention
from ovs_jax.nn.convolution import XAVIER, XAVIER_QKV, dense
from ovs_jax.nn.execution import Executed, run_layers
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.stochastic import dropout, split

EPS = 1e-5
TEMPERATURE = 10_000.0


def sine_positions(rows: int, cols: int, width: int) -> Float[np.ndarray, "n d"]:
    """The sine and cosine encoding of a grid, rows first along the channels.

    Args:
      rows: of the grid.
      cols: of the grid.
      width: channels, a multiple of four.

    Returns:
      One vector a cell, row by row. Coordinates count from 1 and are scaled to end at 2π.
    """
    half = width // 2
    frequency = TEMPERATURE ** (2 * (np.arange(half) // 2) / half)

    def encode(count: int) -> np.ndarray:
        angle = np.arange(1, count + 1) / (count + 1e-6) * 2 * math.pi
        phase = angle[:, None] / frequency
        return np.where(np.arange(half) % 2, np.cos(phase), np.sin(phase))

    vertical = np.repeat(encode(rows), cols, axis=0)
    horizontal = np.tile(encode(cols), (rows, 1))
    return np.concatenate([vertical, horizontal], axis=1).astype(np.float32)


class FeedForward(nnx.Module):
    """Two dense layers with a ReLU and dropout between them."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        self.hidden = dense(config.width, config.hidden, kernel_init=XAVIER, rngs=rngs)
        self.out = dense(config.hidden, config.width, kernel_init=XAVIER, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self, x: Float[Array, "b m d"], *, key: Key[Array, ""] | None = None
    ) -> Float[Array, "b m d"]:
        """Returns ``out(relu(hidden(x)))``."""
        return self.out(dropout(jax.nn.relu(self.hidden(x)), self.dropout, key=key))


def _attention(config: TransformerConfig, rngs: nnx.Rngs) -> Attention:
    return Attention(
        config.width,
        config.heads,
        kernel_init=XAVIER_QKV,
        out_init=XAVIER,
        dropout=config.dropout,
        rngs=rngs,
    )


def _residual(
    x: Array,
    inner: Callable[[Array], Array],
    norm: LayerNorm,
    *,
    config: TransformerConfig,
    key: Key[Array, ""] | None,
) -> Array:
    """A sublayer with its dropout and its norm, before it or after it."""
    y = dropout(inner(norm(x) if config.pre_norm else x), config.dropout, key=key)
    return x + y if config.pre_norm else norm(x + y)


class EncoderLayer(nnx.Module):
    """Self-attention among image tokens and a feed-forward layer."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        self.attention = _attention(config, rngs)
        self.attention_norm = LayerNorm(config.width, eps=EPS)
        self.mlp = FeedForward(config, rngs=rngs)
        self.mlp_norm = LayerNorm(config.width, eps=EPS)
        self.config = config

    def __call__(
        self,
        x: Float[Array, "b n d"],
        positions: Float[Array, "1 n d"],
        *,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b n d"]:
        """Returns the tokens, informed by each other."""
        keys = split(key, 4)

        def attend(y: Array) -> Array:
            return self.attention(y + positions, y + positions, values=y, key=keys[0])

        def think(y: Array) -> Array:
            return self.mlp(y, key=keys[2])

        x = _residual(x, attend, self.attention_norm, config=self.config, key=keys[1])
        return _residual(x, think, self.mlp_norm, config=self.config, key=keys[3])


class Encoder(Executed):
    """Encoder layers; with pre-norm, a norm after the last."""

    def __init__(self, config: TransformerConfig, layers: int, *, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List(EncoderLayer(config, rngs=rngs) for _ in range(layers))
        self.norm = LayerNorm(config.width, eps=EPS) if config.pre_norm else None

    def __call__(
        self,
        x: Float[Array, "b n d"],
        positions: Float[Array, "1 n d"],
        *,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b n d"]:
        """Runs the layers."""
        x = run_layers(
            self.layers,
            x,
            call=lambda layer, y, k: layer(y, positions, key=k),
            execution=self.execution,
            key=key,
        )
        return x if self.norm is None else self.norm(x)


class DecoderLayer(nnx.Module):
    """Self-attention among queries, cross-attention to image tokens, a feed-forward layer."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        self.attention = _attention(config, rngs)
        self.attention_norm = LayerNorm(config.width, eps=EPS)
        self.cross = _attention(config, rngs)
        self.cross_norm = LayerNorm(config.width, eps=EPS)
        self.mlp = FeedForward(config, rngs=rngs)
        self.mlp_norm = LayerNorm(config.width, eps=EPS)
        self.config = config

    def __call__(
        self,
        x: Float[Array, "b q d"],
        queries: Float[Array, "1 q d"],
        *,
        memory: Float[Array, "b n d"],
        keys: Float[Array, "b n d"],
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b q d"]:
        """Returns the segments, informed by each other and by the image.

        Args:
          x: the segments.
          queries: their learned positions.
          memory: the image tokens.
          keys: the same with positions.
          key: random key of the dropout.
        """
        noise = split(key, 6)

        def attend(y: Array) -> Array:
            return self.attention(y + queries, y + queries, values=y, key=noise[0])

        def look(y: Array) -> Array:
            return self.cross(y + queries, keys, values=memory, key=noise[2])

        def think(y: Array) -> Array:
            return self.mlp(y, key=noise[4])

        x = _residual(x, attend, self.attention_norm, config=self.config, key=noise[1])
        x = _residual(x, look, self.cross_norm, config=self.config, key=noise[3])
        return _residual(x, think, self.mlp_norm, config=self.config, key=noise[5])


class Decoder(nnx.Module):
    """Decoder layers and one norm, which every result passes but no next layer sees."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List(
            DecoderLayer(config, rngs=rngs) for _ in range(config.decoder_layers)
        )
        self.norm = LayerNorm(config.width, eps=EPS)

    def __call__(
        self,
        queries: Float[Array, "1 q d"],
        memory: Float[Array, "b n d"],
        *,
        positions: Float[Array, "1 n d"],
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "l b q d"]:
        """Returns the segments after every layer, the final ones last.

        Args:
          queries: the learned positions of the segments, which themselves start at zero.
          memory: the image tokens.
          positions: of the image tokens.
          key: random key of the dropout.
        """
        x = jnp.zeros((memory.shape[0], *queries.shape[1:]), memory.dtype)
        keys = memory + positions
        results = []
        for layer, layer_key in zip(self.layers, split(key, len(self.layers)), strict=True):
            x = layer(x, queries, memory=memory, keys=keys, key=layer_key)
            results.append(self.norm(x))
        return jnp.stack(results)
