"""What a segment says: where it is, and what it looks like in the space of texts."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.nn.convolution import dense, dense_bias

INITIAL_LOGIT_SCALE = math.log(100.0)


class MaskHead(nnx.Module):
    """Three dense layers with ReLUs between them."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List(dense(inputs, out, rngs=rngs) for out in (inputs, inputs, outputs))

    def __call__(self, x: Float[Array, "*s d"]) -> Float[Array, "*s m"]:
        """Returns what the mask features are multiplied by."""
        *hidden, last = self.layers
        for layer in hidden:
            x = jax.nn.relu(layer(x))
        return last(x)


class ClassHead(nnx.Module):
    """Cosine similarity with texts, and with a learned vector for segments that are none.

    The logits are large and their differences small, so everything here is float32.
    """

    def __init__(self, inputs: int, embedding: int, *, rngs: nnx.Rngs) -> None:
        self.projection = dense(inputs, embedding, rngs=rngs)
        # Not of length one, and never made so.
        self.no_object = nnx.Param(dense_bias(embedding)(rngs.params(), (1, embedding)))
        # Fixed, as published: no parameter, but part of a checkpoint.
        self.logit_scale = nnx.BatchStat(jnp.full((1,), INITIAL_LOGIT_SCALE, jnp.float32))

    def embed(self, x: Float[Array, "*s d"]) -> Float[Array, "*s e"]:
        """Segments in the space of texts, not normalised."""
        return self.projection(x.astype(jnp.float32))

    def __call__(
        self, embedding: Float[Array, "*s e"], classes_unit: Float[Array, "c e"]
    ) -> Float[Array, "*s k"]:
        """Logits of every class and, last, of no object.

        Args:
          embedding: from `embed`.
          classes_unit: one text embedding a class, of length one.
        """
        no_object = self.no_object[...].astype(jnp.float32)
        rows = jnp.concatenate([classes_unit.astype(jnp.float32), no_object])
        return cosine_logits(embedding, rows, scale=jnp.exp(self.logit_scale[...]))


def cosine_logits(
    embedding: Float[Array, "*s e"], rows: Float[Array, "k e"], *, scale: Float[Array, "1"] | float
) -> Float[Array, "*s k"]:
    """``scale`` times the products of normalised embeddings with ``rows`` as they are, float32."""
    wide = embedding.astype(jnp.float32)
    unit = wide / jnp.sqrt(jnp.sum(jnp.square(wide), axis=-1, keepdims=True))
    products = jnp.einsum("...e,ke->...k", unit, rows, precision=jax.lax.Precision.HIGHEST)
    return products * jnp.reshape(jnp.asarray(scale), (1,) * products.ndim)
