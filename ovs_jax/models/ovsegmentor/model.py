"""OVSegmentor (Xu et al., CVPR 2023): masked entity completion and mask consistency."""

from collections.abc import Sequence

from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from ovs_jax.models.features import ImageFeatures
from ovs_jax.models.groupvit.encoder import GroupingEncoder
from ovs_jax.models.groupvit.model import ImageTextModel
from ovs_jax.models.ovsegmentor.config import OVSegmentorConfig
from ovs_jax.models.ovsegmentor.decoder import EntityDecoder
from ovs_jax.models.projector import Projector
from ovs_jax.nn.attention import linear


class OVSegmentor(ImageTextModel):
    """The model of both training stages; the momentum encoder exists in the second only."""

    def __init__(self, config: OVSegmentorConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(
            config.encoder,
            config.text,
            config.projector,
            multi_label=config.multi_label,
            logit_bias=config.logit_bias,
            rngs=rngs,
        )
        image, text = config.encoder.width, config.text.width
        width = min(image, text)
        aligned_image = config.entity and image > width
        aligned_text = config.entity and text > width
        self.image_alignment = linear(image, width, rngs=rngs) if aligned_image else None
        self.text_alignment = linear(text, width, rngs=rngs) if aligned_text else None
        self.entity_decoder = (
            EntityDecoder(width, config.decoder_heads, config.decoder_layers, rngs=rngs)
            if config.entity
            else None
        )
        self.bridge_projector = (
            Projector(width, config.projector, rngs=rngs) if config.entity else None
        )
        self.momentum_encoder = (
            GroupingEncoder(config.encoder, rngs=rngs) if config.momentum else None
        )
        self.mask_padding = config.mask_padding

    def align_groups(self, groups: Float[Array, "b g d"]) -> Float[Array, "b g a"]:
        """Brings unprojected groups to the decoder's width."""
        return groups if self.image_alignment is None else self.image_alignment(groups)

    def align_question(self, question: Float[Array, "b l d"]) -> Float[Array, "b l a"]:
        """Brings unprojected question tokens to the decoder's width."""
        return question if self.text_alignment is None else self.text_alignment(question)

    def decode_question(
        self,
        question: Float[Array, "b l d"],
        groups: Float[Array, "b g f"],
        *,
        mask: Bool[Array, "b l"],
    ) -> Float[Array, "b l a"]:
        """Lets unprojected question tokens look at unprojected groups.

        Args:
          question: text features of the masked caption, one a token.
          groups: image features, one a group.
          mask: the question's kept tokens; used with ``mask_padding`` only.

        Returns:
          One token for every question token, at the narrower of the two widths.

        Raises:
          ValueError: the model was built without the entity decoder.
        """
        if self.entity_decoder is None:
            raise ValueError("model: built with entity=False, so it has no masked-entity decoder")
        visible = mask[:, None, None, :] if self.mask_padding else None
        return self.entity_decoder(
            self.align_question(question), self.align_groups(groups), mask=visible
        )

    def complete_entity(
        self,
        question: Float[Array, "b l d"],
        groups: Float[Array, "b g f"],
        *,
        mask: Bool[Array, "b l"],
    ) -> Float[Array, "b e"]:
        """The predicted answer to a masked caption, in the shared space (section 3.3).

        Arguments as `decode_question`.

        Raises:
          ValueError: the model was built without the entity decoder.
        """
        return self.project_answer(self.decode_question(question, groups, mask=mask)[:, 0])

    def project_answer(self, decoded: Float[Array, "b a"]) -> Float[Array, "b e"]:
        """Brings the decoder's first token into the shared space.

        Raises:
          ValueError: the model was built without the entity decoder.
        """
        if self.bridge_projector is None:
            raise ValueError("model: built with entity=False, so it has no bridge projector")
        return self.bridge_projector(decoded)

    def encode_image_momentum(
        self,
        images: Float[Array, "b h w 3"],
        *,
        key: Key[Array, ""] | None = None,
        gumbel: Sequence[Float[Array, "b _ _"]] | None = None,
    ) -> ImageFeatures:
        """Encodes images with the momentum encoder; arguments as `GroupingEncoder`.

        Raises:
          ValueError: the model was built without one.
        """
        if self.momentum_encoder is None:
            raise ValueError("model: built with momentum=False, so it has no momentum encoder")
        return self.momentum_encoder(images, key=key, gumbel=gumbel)
