"""Contrast of an image with several prompts made from its own caption (GroupViT §3.2)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ovs_jax.losses.contrastive import similarity_logits


def multi_label_contrastive(
    image: Float[Array, "b e"], prompts: Float[Array, "b k e"], *, logit_scale: Float[Array, ""]
) -> Float[Array, ""]:
    """Contrasts each image with all prompts of the batch, and each prompt with all images.

    An image's target is uniform over its own ``k`` prompts (the published code; the paper writes
    the logarithm of their summed probability instead). A prompt's target is its image. Prompts may
    repeat.

    Args:
      image: one embedding an image, of any length.
      prompts: the embeddings of the ``k`` prompts of each image.
      logit_scale: logarithm of the inverse temperature, apart from that of the caption loss;
        clamped at 100.

    Returns:
      The mean of the two cross entropies in nats, float32.
    """
    b, k, e = prompts.shape
    logits = similarity_logits(image, prompts.reshape(b * k, e), logit_scale=logit_scale)
    own = jnp.arange(b)
    over_prompts = jax.nn.log_softmax(logits, axis=1).reshape(b, b, k)[own, own]
    over_images = jax.nn.log_softmax(logits, axis=0).reshape(b, b, k)[own, own]
    return -(over_prompts.mean() + over_images.mean()) / 2
