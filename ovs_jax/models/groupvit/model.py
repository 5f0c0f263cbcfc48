"""GroupViT (Xu et al., CVPR 2022): an image-text model whose image encoder groups."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from ovs_jax.models.features import ImageFeatures, SegmentFeatures, Text, TextFeatures
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.models.groupvit.encoder import GroupingEncoder, group_maps
from ovs_jax.models.projector import Projector, ProjectorConfig
from ovs_jax.models.text import TextConfig, text_encoder

INITIAL_LOGIT_SCALE = math.log(1 / 0.07)
SIGMOID_SCALE, SIGMOID_BIAS = 10.0, -10.0
"""Where temperature and bias start with a sigmoid (SigLIP, Zhai et al., 2023, section 3.2): nearly
all pairs are then rightly taken for unrelated."""


def _scalar(value: float) -> Float[Array, ""]:
    # With its dtype named: a weakly typed scalar comes back from the first step strongly typed,
    # and the step would be compiled a second time.
    return jnp.asarray(value, jnp.float32)


class ImageTextModel(nnx.Module):
    """What GroupViT and OVSegmentor share: two encoders, two projectors and temperatures."""

    def __init__(
        self,
        encoder: EncoderConfig,
        text: TextConfig,
        projector: ProjectorConfig,
        *,
        multi_label: bool,
        logit_bias: bool,
        rngs: nnx.Rngs,
    ) -> None:
        self.image_encoder = GroupingEncoder(encoder, rngs=rngs)
        self.text_encoder = text_encoder(text, rngs=rngs)
        self.image_projector = Projector(encoder.width, projector, rngs=rngs)
        self.text_projector = Projector(text.width, projector, rngs=rngs)
        # With a bias the contrast is by sigmoid, which starts at another temperature.
        start = math.log(SIGMOID_SCALE) if logit_bias else INITIAL_LOGIT_SCALE
        self.logit_scale = nnx.Param(_scalar(start))
        self.logit_bias = nnx.Param(_scalar(SIGMOID_BIAS)) if logit_bias else None
        self.multi_label_logit_scale = (
            nnx.Param(_scalar(INITIAL_LOGIT_SCALE)) if multi_label else None
        )

    def encode_image(
        self,
        images: Float[Array, "b h w 3"],
        *,
        key: Key[Array, ""] | None = None,
        gumbel: Sequence[Float[Array, "b _ _"]] | None = None,
    ) -> ImageFeatures:
        """Encodes images without projecting them; arguments as `GroupingEncoder`."""
        return self.image_encoder(images, key=key, gumbel=gumbel)

    def project_image(self, x: Float[Array, "*s d"]) -> Float[Array, "*s e"]:
        """Projects pooled or group features into the shared space, not normalised."""
        return self.image_projector(x)

    def encode_text(self, text: Text, *, key: Key[Array, ""] | None = None) -> TextFeatures:
        """Encodes texts without projecting them; arguments as the text encoder's."""
        return self.text_encoder(text, key=key)

    def project_text(self, x: Float[Array, "*s d"]) -> Float[Array, "*s e"]:
        """Projects text features into the shared space, not normalised."""
        return self.text_projector(x)

    def segment_features(self, images: Float[Array, "b h w 3"]) -> SegmentFeatures:
        """One pass of the image encoder, without noise: all that segmentation needs.

        Args:
          images: normalised; any multiple of the patch size in height and width.

        Returns:
          Projected embeddings, not normalised, and the share of each patch in each group.

        Raises:
          ValueError: height or width is not a multiple of the patch size.
        """
        features = self.encode_image(images)
        patch = self.image_encoder.patch_embedding.patch_size
        rows, cols = images.shape[1] // patch, images.shape[2] // patch
        return SegmentFeatures(
            image_embedding=self.project_image(features.pooled),
            group_embeddings=self.project_image(features.groups),
            group_maps=group_maps(features.assignments, rows, cols),
        )


class GroupViT(ImageTextModel):
    """GroupViT; its multi-label loss has a temperature of its own (section 3.2)."""

    def __init__(self, config: GroupViTConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(
            config.encoder,
            config.text,
            config.projector,
            multi_label=config.multi_label,
            logit_bias=config.logit_bias,
            rngs=rngs,
        )
