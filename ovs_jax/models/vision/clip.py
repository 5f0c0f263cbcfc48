"""CLIP with a vision transformer (Radford et al., 2021): two encoders and a shared space."""

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.models.features import Text
from ovs_jax.models.text.clip import ClipText
from ovs_jax.models.vision.config import ClipConfig
from ovs_jax.models.vision.vit import VisionTransformer
from ovs_jax.nn.attention import linear


class Clip(nnx.Module):
    """Images and texts in one space; projections without bias."""

    def __init__(self, config: ClipConfig, *, rngs: nnx.Rngs) -> None:
        self.image_encoder = VisionTransformer(config.image, rngs=rngs)
        self.text_encoder = ClipText(config.text, rngs=rngs)
        self.image_projection = linear(config.image.width, config.embedding, bias=False, rngs=rngs)
        self.text_projection = linear(config.text.width, config.embedding, bias=False, rngs=rngs)
        self.logit_scale = nnx.Param(jnp.asarray(math.log(1 / 0.07), jnp.float32))

    def embed_image(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Image embeddings, not normalised; arguments as `VisionTransformer`.

        Images are normalised with CLIP's own mean and deviation, not those of ImageNet.
        """
        return self.image_projection(self.image_encoder(images).pooled)

    def embed_patches(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b rows cols e"]:
        """An embedding for every patch, not normalised; see `VisionTransformer.dense`."""
        return self.image_projection(self.image_encoder.dense(images))

    def embed_text(self, text: Text) -> Float[Array, "b e"]:
        """Text embeddings, not normalised; arguments as `ClipText`."""
        return self.text_projection(self.text_encoder(text).pooled)
