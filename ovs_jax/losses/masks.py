"""Focal and dice losses of binary masks, for pairs that are matched and for all pairs at once.

Masks of a pair are compared pixel by pixel; the costs of all pairs are products of matrices over
pixels, so that nothing of the size queries x targets x pixels ever exists.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.interpolation import linear_matrix

ALPHA = 0.25
"""Weight of the pixels inside a mask; those outside have 1 - ALPHA (Lin et al., 2017)."""
_HIGHEST = jax.lax.Precision.HIGHEST


def class_masks(label: Int[Array, "b h w"], classes: Int[Array, "b n"]) -> Bool[Array, "b n h w"]:
    """One binary mask for every class of an image.

    Args:
      label: class index of each pixel; negative where it is ignored.
      classes: the classes that are present, in any order, -1 where there is none.

    Returns:
      Where each class is; nowhere for -1.
    """
    same = label[:, None] == classes[:, :, None, None]
    return same & (classes >= 0)[:, :, None, None]


def shrink(masks: Bool[Array, "b *n h w"], rows: int, cols: int) -> Bool[Array, "b *n rows cols"]:
    """Takes the pixels at ``floor(place · old / new)``, as the published matching does."""
    down = jnp.arange(rows) * masks.shape[-2] // rows
    across = jnp.arange(cols) * masks.shape[-1] // cols
    return jnp.take(jnp.take(masks, down, axis=-2), across, axis=-1)


def enlarge(
    masks: Float[Array, "b n rows cols"], height: int, width: int
) -> Float[Array, "b n h w"]:
    """Resizes bilinearly, pixels as areas (align_corners=False), without antialiasing."""
    down = linear_matrix(masks.shape[-2], height, align_corners=False)
    across = linear_matrix(masks.shape[-1], width, align_corners=False)
    tall = jnp.einsum("yr,bnrc->bnyc", down, masks, precision=_HIGHEST)
    return jnp.einsum("xc,bnyc->bnyx", across, tall, precision=_HIGHEST)


def pairwise_mask_costs(
    logits: Float[Array, "b q h w"],
    masks: Bool[Array, "b n h w"],
    *,
    valid: Bool[Array, "b h w"] | None = None,
) -> tuple[Float[Array, "b q n"], Float[Array, "b q n"]]:
    """Focal and dice cost of every prediction with every mask.

    Args:
      logits: predicted membership.
      masks: targets of the same size.
      valid: the pixels that count; None counts all.

    Returns:
      The focal cost, a mean over pixels, and the dice cost.
    """
    b, q = logits.shape[:2]
    x = logits.astype(jnp.float32).reshape(b, q, -1)
    t = masks.astype(jnp.float32).reshape(b, masks.shape[1], -1)
    v = jnp.ones_like(t[:, :1]) if valid is None else _flat(valid)[:, None]

    def products(of: Float[Array, "b q p"], targets: Float[Array, "b n p"]) -> Array:
        return jnp.einsum("bqp,bnp->bqn", of, targets, precision=_HIGHEST)

    p = jax.nn.sigmoid(x)
    inside = ALPHA * jnp.square(1 - p) * jax.nn.softplus(-x)
    outside = (1 - ALPHA) * jnp.square(p) * jax.nn.softplus(x)
    pixels = jnp.maximum(v.sum(-1), 1.0)[:, :, None]
    focal = (products(inside, t * v) + products(outside, (1 - t) * v)) / pixels
    areas = (p * v).sum(-1)[:, :, None] + (t * v).sum(-1)[:, None, :]
    dice = 1 - (2 * products(p, t * v) + 1) / (areas + 1)
    return focal, dice


def focal_loss(
    logits: Float[Array, "b n h w"],
    masks: Bool[Array, "b n h w"],
    *,
    valid: Bool[Array, "b h w"] | None = None,
) -> Float[Array, "b n"]:
    """The sigmoid focal loss of each pair with exponent 2, a mean over the pixels that count."""
    x = logits.astype(jnp.float32)
    x = jnp.where(masks, -x, x)  # the logit of being wrong
    alpha = jnp.where(masks, ALPHA, 1 - ALPHA)
    loss = alpha * jnp.square(jax.nn.sigmoid(x)) * jax.nn.softplus(x)
    if valid is None:
        return loss.mean((2, 3))
    pixels = jnp.maximum(valid.sum((1, 2)), 1)[:, None]
    return (loss * valid[:, None]).sum((2, 3)) / pixels


def dice_loss(
    logits: Float[Array, "b n h w"],
    masks: Bool[Array, "b n h w"],
    *,
    valid: Bool[Array, "b h w"] | None = None,
) -> Float[Array, "b n"]:
    """The dice loss of each pair, smoothed by one."""
    p = jax.nn.sigmoid(logits.astype(jnp.float32))
    t = masks.astype(jnp.float32)
    if valid is not None:
        p, t = p * valid[:, None], t * valid[:, None]
    return 1 - (2 * (p * t).sum((2, 3)) + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)


def _flat(valid: Bool[Array, "b h w"]) -> Float[Array, "b p"]:
    return valid.astype(jnp.float32).reshape(valid.shape[0], -1)
