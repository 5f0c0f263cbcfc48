"""Global contrast between images and texts (GroupViT §3.2, equation 6)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovs_jax.losses.tiles import Sums, whole_sums

MAXIMAL_SCALE = 100.0
"""The largest inverse temperature (CLIP §2.5): beyond it training is unstable."""


def clamped_scale(logit_scale: Float[Array, ""]) -> Float[Array, ""]:
    """The inverse temperature ``min(exp(logit_scale), 100)``, in float32."""
    return jnp.minimum(jnp.exp(logit_scale.astype(jnp.float32)), MAXIMAL_SCALE)


def unit(x: Float[Array, "*batch e"]) -> Float[Array, "*batch e"]:
    """Scales vectors to length one in float32, with a finite gradient at zero."""
    x = x.astype(jnp.float32)
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


def contrastive(
    image: Float[Array, "b e"],
    text: Float[Array, "b e"],
    *,
    logit_scale: Float[Array, ""],
    sums: Sums = whole_sums,
) -> Float[Array, ""]:
    """Contrasts each image with the texts of the batch, and each text with the images.

    Products are taken at full float32 precision: they are a small part of a step and their error is
    multiplied by up to 100.

    Args:
      image: one embedding an image, of any length.
      text: the embedding of the text of the same row.
      logit_scale: logarithm of the inverse temperature; its exponential is clamped at 100.
      sums: how the logits are summed over; `tiles.tiled_sums` for batches whose matrix is too
        large.

    Returns:
      The mean of the two cross entropies in nats, float32.
    """
    image, text, scale = unit(image), unit(text), clamped_scale(logit_scale)
    over_texts, over_images = sums(image, text, scale)
    own = scale * jnp.sum(image * text, axis=-1)
    return (jnp.mean(over_texts - own) + jnp.mean(over_images - own)) / 2
