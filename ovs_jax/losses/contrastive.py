"""Global contrast between images and texts (GroupViT §3.2, equation 6)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

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


def similarity_logits(
    image: Float[Array, "b e"], text: Float[Array, "m e"], *, logit_scale: Float[Array, ""]
) -> Float[Array, "b m"]:
    """Cosine of every image with every text, times the clamped scale.

    The product is taken at full float32 precision: it is a small part of a step and its error is
    multiplied by up to 100.
    """
    cosine = jnp.einsum("be,me->bm", unit(image), unit(text), precision=jax.lax.Precision.HIGHEST)
    return cosine * clamped_scale(logit_scale)


def contrastive(
    image: Float[Array, "b e"], text: Float[Array, "b e"], *, logit_scale: Float[Array, ""]
) -> Float[Array, ""]:
    """Contrasts each image with the texts of the batch, and each text with the images.

    Args:
      image: one embedding an image, of any length.
      text: the embedding of the text of the same row.
      logit_scale: logarithm of the inverse temperature; its exponential is clamped at 100.

    Returns:
      The mean of the two cross entropies in nats, float32.
    """
    logits = similarity_logits(image, text, logit_scale=logit_scale)
    own = jnp.arange(logits.shape[0])
    losses = [
        optax.softmax_cross_entropy_with_integer_labels(each, own).mean()
        for each in (logits, logits.T)
    ]
    return (losses[0] + losses[1]) / 2
