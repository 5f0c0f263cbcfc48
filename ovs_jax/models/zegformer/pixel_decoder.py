"""The pixel decoder: a feature pyramid that ends in one vector a pixel at a quarter of the size."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from ovs_jax.models.zegformer.config import PixelDecoderConfig, TransformerConfig
from ovs_jax.models.zegformer.transformer import Encoder, sine_positions
from ovs_jax.nn.convolution import convolution
from ovs_jax.nn.norm import GroupNorm


class NormedConvolution(nnx.Module):
    """A convolution without bias, and a group norm."""

    def __init__(self, inputs: int, size: int, config: PixelDecoderConfig, *, rngs: nnx.Rngs):
        self.conv = convolution(inputs, config.width, size, rngs=rngs)
        self.norm = GroupNorm(config.width, groups=config.groups)

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w d"]:
        """Returns the normalised features; an activation is the caller's."""
        return self.norm(self.conv(x))


class TokenEncoder(nnx.Module):
    """Self-attention over the tokens of the coarsest level."""

    def __init__(
        self,
        inputs: int,
        layers: int,
        *,
        config: TransformerConfig,
        rngs: nnx.Rngs,
    ) -> None:
        self.input_projection = convolution(inputs, config.width, 1, bias=True, rngs=rngs)
        self.encoder = Encoder(config, layers, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b h w i"], *, key: Key[Array, ""] | None = None
    ) -> Float[Array, "b h w d"]:
        """Returns as many tokens as there were, on the same grid."""
        x = self.input_projection(x)
        tokens = self.encoder(flatten(x), positions_of(x), key=key)
        return tokens.reshape(x.shape)


class PixelDecoder(nnx.Module):
    """Both pixel decoders of the family: with and without self-attention at the coarsest level.

    Args:
      levels: channels of the backbone's outputs, finest first.
      config: sizes.
      encoder: of the self-attention, where the config has any; its width is that of the decoder.
      rngs: random streams of the initial values.
    """

    def __init__(
        self,
        levels: tuple[int, ...],
        config: PixelDecoderConfig,
        *,
        encoder: TransformerConfig | None,
        rngs: nnx.Rngs,
    ) -> None:
        self.token_encoder = (
            TokenEncoder(levels[-1], config.encoder_layers, config=encoder, rngs=rngs)
            if encoder is not None
            else None
        )
        self.adapters = nnx.List(
            NormedConvolution(width, 1, config, rngs=rngs) for width in levels[:-1]
        )
        coarsest = levels[-1] if encoder is None else config.width
        self.layers = nnx.List(
            NormedConvolution(inputs, 3, config, rngs=rngs)
            for inputs in (*[config.width] * (len(levels) - 1), coarsest)
        )
        self.mask_features = convolution(config.width, config.outputs, 3, bias=True, rngs=rngs)

    def __call__(
        self, levels: tuple[Float[Array, "b _ _ _"], ...], *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "b rows cols m"], Float[Array, "b _ _ _"]]:
        """Decodes.

        Args:
          levels: the backbone's outputs, finest first.
          key: random key of the dropout, where there is self-attention.

        Returns:
          Mask features on the finest grid, and what the queries shall look at: the coarsest level,
          after self-attention if there is any.
        """
        source = levels[-1]
        if self.token_encoder is not None:
            source = self.token_encoder(source, key=key)
        *layers, coarsest = self.layers
        y = jax.nn.relu(coarsest(source))
        for level, adapter, layer in reversed(
            list(zip(levels[:-1], self.adapters, layers, strict=True))
        ):
            lateral = adapter(level)  # no activation
            y = jax.nn.relu(layer(lateral + nearest(y, lateral.shape[1], lateral.shape[2])))
        return self.mask_features(y), source


def nearest(x: Float[Array, "b h w d"], rows: int, cols: int) -> Float[Array, "b rows cols d"]:
    """Resizes by repetition: a place takes the value at ``floor(place · old / new)``."""
    down = np.arange(rows) * x.shape[1] // rows
    across = np.arange(cols) * x.shape[2] // cols
    return jnp.take(jnp.take(x, down, axis=1), across, axis=2)


def flatten(x: Float[Array, "b h w d"]) -> Float[Array, "b n d"]:
    """The cells of a grid as tokens, row by row."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def positions_of(x: Float[Array, "b h w d"]) -> Float[Array, "1 n d"]:
    """The encoded positions of a grid's tokens. Padding counts: it is never masked."""
    return jnp.asarray(sine_positions(*x.shape[1:]), x.dtype)[None]
