"""ZegFormer (Ding et al., CVPR 2022): class-agnostic masks, and segments classified by texts."""

from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from ovs_jax.models.zegformer.config import TransformerConfig, ZegFormerConfig
from ovs_jax.models.zegformer.heads import ClassHead, MaskHead
from ovs_jax.models.zegformer.pixel_decoder import PixelDecoder, flatten, positions_of
from ovs_jax.models.zegformer.transformer import Decoder, Encoder
from ovs_jax.nn.convolution import convolution
from ovs_jax.nn.resnet import ResNet
from ovs_jax.nn.stochastic import split

STRIDE = 32


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PixelFeatures:
    """What the convolutional part makes of images.

    Attributes:
      levels: the backbone's outputs, finest first.
      mask_features: one vector a cell at a quarter of the size.
      source: what the queries look at, before its projection.
    """

    levels: tuple[Float[Array, "b _ _ _"], ...]
    mask_features: Float[Array, "b rows cols m"]
    source: Float[Array, "b _ _ _"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SegmentQueries:
    """What the transformer makes of them, layer by layer.

    Attributes:
      memory: the image tokens that the queries looked at.
      hidden: the segments after every decoder layer and the shared norm.
      embedding: the segments in the space of texts, not normalised, float32.
      mask_embedding: what the mask features are multiplied by.
    """

    memory: Float[Array, "b n d"]
    hidden: Float[Array, "l b q d"]
    embedding: Float[Array, "l b q e"]
    mask_embedding: Float[Array, "l b q m"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Predictions:
    """Segments of a batch, one prediction a decoder layer; the last layer is the result.

    Attributes:
      logits: of every class, and last of no object; float32.
      masks: logits of membership at a quarter of the size.
    """

    logits: Float[Array, "l b q c"]
    masks: Float[Array, "l b q rows cols"]


class ZegFormer(nnx.Module):
    """ZegFormer without the CLIP image branch, which has no part in training."""

    def __init__(self, config: ZegFormerConfig, *, rngs: nnx.Rngs) -> None:
        sizes = config.transformer
        self.backbone = ResNet(config.backbone, rngs=rngs)
        channels = config.backbone.outputs
        self.pixel_decoder = PixelDecoder(
            channels,
            config.pixel_decoder,
            encoder=_token_encoder(config),
            rngs=rngs,
        )
        inputs = config.pixel_decoder.width if config.pixel_decoder.encoder_layers else channels[-1]
        self.input_projection = (
            convolution(inputs, sizes.width, 1, bias=True, rngs=rngs)
            if inputs != sizes.width
            else None
        )
        self.encoder = (
            Encoder(sizes, sizes.encoder_layers, rngs=rngs) if sizes.encoder_layers else None
        )
        self.decoder = Decoder(sizes, rngs=rngs)
        self.query_embedding = nnx.Param(
            jax.random.normal(rngs.params(), (sizes.queries, sizes.width))
        )
        self.mask_head = MaskHead(sizes.width, config.pixel_decoder.outputs, rngs=rngs)
        self.class_head = ClassHead(sizes.width, config.embedding, rngs=rngs)

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        classes_unit: Float[Array, "c e"],
        *,
        layers: Literal["all", "last"] = "all",
        key: Key[Array, ""] | None = None,
    ) -> Predictions:
        """Finds segments and compares them with texts.

        Args:
          images: normalised, height and width multiples of 32; padding takes part in everything.
          classes_unit: one text embedding a class, of length one.
          layers: ``last`` predicts after the last decoder layer only, which is all that inference
            needs.
          key: random key of the dropout; without one nothing is dropped.

        Returns:
          Logits and masks, with a first axis over decoder layers.

        Raises:
          ValueError: height or width is not a multiple of 32.
        """
        pixel_key, query_key = split(key, 2)
        pixels = self.pixel_features(images, key=pixel_key)
        return self.predict(
            pixels, self.segment_queries(pixels, layers=layers, key=query_key), classes_unit
        )

    def pixel_features(
        self, images: Float[Array, "b h w 3"], *, key: Key[Array, ""] | None = None
    ) -> PixelFeatures:
        """Backbone and pixel decoder; arguments and errors as for the whole model."""
        check_size(images)
        levels = self.backbone(images)
        mask_features, source = self.pixel_decoder(levels, key=key)
        return PixelFeatures(levels=levels, mask_features=mask_features, source=source)

    def project_source(self, source: Float[Array, "b h w i"]) -> Float[Array, "b h w d"]:
        """What the queries look at, in the transformer's width."""
        return source if self.input_projection is None else self.input_projection(source)

    def segment_queries(
        self,
        pixels: PixelFeatures,
        *,
        layers: Literal["all", "last"] = "all",
        key: Key[Array, ""] | None = None,
    ) -> SegmentQueries:
        """The transformer and its two heads; arguments as for the whole model."""
        encoder_key, decoder_key = split(key, 2)
        source = self.project_source(pixels.source)
        memory, positions = flatten(source), positions_of(source)
        if self.encoder is not None:
            memory = self.encoder(memory, positions, key=encoder_key)
        queries = self.query_embedding[...][None]
        hidden = self.decoder(queries, memory, positions=positions, key=decoder_key)
        if layers == "last":
            hidden = hidden[-1:]
        return SegmentQueries(
            memory=memory,
            hidden=hidden,
            embedding=self.class_head.embed(hidden),
            mask_embedding=self.mask_head(hidden),
        )

    def predict(
        self, pixels: PixelFeatures, queries: SegmentQueries, classes_unit: Float[Array, "c e"]
    ) -> Predictions:
        """Class logits and mask logits of segments that are encoded."""
        masks = jnp.einsum("lbqm,bhwm->lbqhw", queries.mask_embedding, pixels.mask_features)
        return Predictions(logits=self.class_head(queries.embedding, classes_unit), masks=masks)


def check_size(images: Float[Array, "b h w 3"]) -> None:
    """Refuses images that the backbone cannot halve five times.

    Raises:
      ValueError: names the size.
    """
    height, width = images.shape[1:3]
    if height % STRIDE or width % STRIDE or not height or not width:
        raise ValueError(
            f"image: got {height} x {width} pixels, expected multiples of {STRIDE} (pad the batch)"
        )


def _token_encoder(config: ZegFormerConfig) -> TransformerConfig | None:
    """The sizes of the pixel decoder's self-attention, if it has any."""
    if not config.pixel_decoder.encoder_layers:
        return None
    return replace(config.transformer, width=config.pixel_decoder.width)
