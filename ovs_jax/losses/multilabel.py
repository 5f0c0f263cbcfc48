"""Contrast of an image with several prompts made from its own caption (GroupViT §3.2)."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.losses.contrastive import clamped_scale, unit
from ovs_jax.losses.tiles import Sums, whole_sums


def multi_label_contrastive(
    image: Float[Array, "b e"],
    prompts: Float[Array, "b k e"],
    *,
    logit_scale: Float[Array, ""],
    positive: Bool[Array, "b b k"] | None = None,
    sums: Sums = whole_sums,
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
      sums: how the logits are summed over, as in `contrastive`.

    Returns:
      The mean of the two cross entropies in nats, float32.
    """
    image, prompts, scale = unit(image), unit(prompts), clamped_scale(logit_scale)
    b, k, e = prompts.shape
    over_prompts, over_images = sums(image, prompts.reshape(b * k, e), scale)
    product = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    if positive is None:
        own = scale * product("be,bke->bk", image, prompts)
        fit_prompts, fit_images = own.mean(1), own.reshape(-1)
    else:
        fits = positive.reshape(b, b * k).astype(jnp.float32)
        logits = scale * product("be,cke->bck", image, prompts).reshape(b, b * k)
        fit_prompts = (logits * fits).sum(1) / fits.sum(1)
        fit_images = (logits * fits).sum(0) / fits.sum(0)
    return (jnp.mean(over_prompts - fit_prompts) + jnp.mean(over_images - fit_images)) / 2


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
