"""Contrast of an image with several prompts made from its own caption (GroupViT §3.2)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.losses.contrastive import similarity_logits


def multi_label_contrastive(
    image: Float[Array, "b e"],
    prompts: Float[Array, "b k e"],
    *,
    logit_scale: Float[Array, ""],
    positive: Bool[Array, "b b k"] | None = None,
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
      positive: which prompts fit which images, own prompts included (`shared_prompts`); targets are
        then uniform over all that fit, as in UniCL (Yang et al., 2022, equations 3 and 4). None
        leaves the prompts of other images negatives even where they say the same.

    Returns:
      The mean of the two cross entropies in nats, float32.
    """
    b, k, e = prompts.shape
    logits = similarity_logits(image, prompts.reshape(b * k, e), logit_scale=logit_scale)
    if positive is not None:
        fits = positive.reshape(b, b * k).astype(jnp.float32)
        prompts_share = fits / fits.sum(1, keepdims=True)
        images_share = fits / fits.sum(0, keepdims=True)
        over_prompts = (jax.nn.log_softmax(logits, axis=1) * prompts_share).sum(1)
        over_images = (jax.nn.log_softmax(logits, axis=0) * images_share).sum(0)
        return -(over_prompts.mean() + over_images.mean()) / 2
    own = jnp.arange(b)
    over_prompts = jax.nn.log_softmax(logits, axis=1).reshape(b, b, k)[own, own]
    over_images = jax.nn.log_softmax(logits, axis=0).reshape(b, b, k)[own, own]
    return -(over_prompts.mean() + over_images.mean()) / 2


def shared_prompts(ids: Int[Array, "b k l"]) -> Bool[Array, "b b k"]:
    """Which prompts of the batch say the same as one of an image's own.

    Args:
      ids: the tokens of the prompts.

    Returns:
      For each image, and each prompt of each image, whether it fits.
    """
    b, k, length = ids.shape
    flat = ids.reshape(b * k, length)
    same = (flat[:, None] == flat[None]).all(-1)
    return same.reshape(b, k, b, k).any(1)
