"""Contrast of every pair by itself, with a sigmoid in place of the softmax (SigLIP, Zhai et al.,
2023).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from ovs_jax.losses.contrastive import clamped_scale, unit
from ovs_jax.losses.tiles import Ring, cut, join, over_ring, product

Total = Callable[
    [Float[Array, "b e"], Float[Array, "m e"], Float[Array, ""], Float[Array, ""]],
    Float[Array, ""],
]
"""From unit images, unit texts, inverse temperature and bias to the sum over all pairs of
``log(1 + exp(logit))``."""


def sigmoid_contrastive(
    image: Float[Array, "b e"],
    text: Float[Array, "b e"],
    *,
    logit_scale: Float[Array, ""],
    logit_bias: Float[Array, ""],
    tile: int = 0,
    axes: tuple[str, ...] = (),
) -> Float[Array, ""]:
    """Asks of every image and every text of the batch whether they belong together.

    Args:
      image: one embedding an image, of any length.
      text: the embedding of the text of the same row.
      logit_scale: logarithm of the inverse temperature; its exponential is clamped at 100.
      logit_bias: added to every logit.
      tile: the most texts that meet the images of a device at a time; 0 holds all pairs at once.
      axes: mesh axes that the tiles go round, as in `tiles.tiled_sums`.

    Returns:
      The sum of the cross entropies of all pairs over the number of images, in nats, float32
      (algorithm 1).
    """
    image, text, scale = unit(image), unit(text), clamped_scale(logit_scale)
    bias = logit_bias.astype(jnp.float32)
    total = tiled_total(tile, axes=axes) if tile else whole_total
    own = scale * jnp.sum(image * text, axis=-1) + bias
    # A pair that belongs together costs log(1 + exp(-logit)) = log(1 + exp(logit)) - logit.
    return (total(image, text, scale, bias) - own.sum()) / image.shape[0]


def whole_total(
    image: Float[Array, "b e"],
    text: Float[Array, "m e"],
    scale: Float[Array, ""],
    bias: Float[Array, ""],
) -> Float[Array, ""]:
    """The sum over a matrix that is held whole."""
    return jax.nn.softplus(scale * product(image, text.T) + bias).sum(1).sum()


def tiled_total(tile: int, *, axes: tuple[str, ...] = ()) -> Total:
    """The same sum by tiles; arguments, memory and errors as `tiles.tiled_sums`."""
    if tile < 1:
        raise ValueError(f"tile: expected at least one text, got {tile}")
    rows, everywhere = PartitionSpec(axes), PartitionSpec()

    @jax.custom_vjp
    def total(image: Array, text: Array, scale: Array, bias: Array) -> Array:
        return forward(image, text, scale, bias)[0]

    def forward(image: Array, text: Array, scale: Array, bias: Array) -> tuple[Array, Any]:
        each = over_ring(_forward, axes, tile, (image, text), (scale, bias), outputs=rows)
        return each.sum(), (image, text, scale, bias)

    def backward(kept: Any, gradient: Array) -> tuple[Array, Array, Array, Array]:
        image, text, scale, bias = kept
        outputs = (rows, rows, everywhere, everywhere)
        shared = (scale, bias, gradient)
        return over_ring(_backward, axes, tile, (image, text), shared, outputs=outputs)

    total.defvjp(forward, backward)
    return total


def _forward(
    image: Array, text: Array, shared: tuple[Array, Array], *, tile: int, ring: Ring
) -> Array:
    scale, bias = shared

    def meet(sums: Any, part: Any) -> tuple[Any, Any]:
        return sums + jax.nn.softplus(scale * product(image, part.T) + bias).sum(1), part

    def visited(sums: Any, block: Any) -> tuple[Any, Any]:
        sums, parts = jax.lax.scan(meet, sums, cut(block, tile))
        return sums, join(parts)

    return ring.visit(visited, jnp.zeros(len(image)), text)[0]


def _backward(
    image: Array, text: Array, shared: tuple[Array, Array, Array], *, tile: int, ring: Ring
) -> tuple[Array, Array, Array, Array]:
    scale, bias, gradient = shared

    def meet(own: Any, part: Any) -> tuple[Any, Any]:
        image_gradient, scale_gradient, bias_gradient = own
        text, text_gradient = part
        cosine = product(image, text.T)
        share = jax.nn.sigmoid(scale * cosine + bias) * gradient
        image_gradient += scale * product(share, text)
        text_gradient += scale * product(share.T, image)
        own = image_gradient, scale_gradient + (share * cosine).sum(), bias_gradient + share.sum()
        return own, (text, text_gradient)

    def visited(own: Any, block: Any) -> tuple[Any, Any]:
        own, parts = jax.lax.scan(meet, own, cut(block, tile))
        return own, join(parts)

    zero = jnp.zeros_like(scale)
    (image_gradient, scale_gradient, bias_gradient), (_, text_gradient) = ring.visit(
        visited, (jnp.zeros_like(image), zero, zero), (text, jnp.zeros_like(text))
    )
    return image_gradient, text_gradient, ring.total(scale_gradient), ring.total(bias_gradient)
