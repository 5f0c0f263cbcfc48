"""Sizes of ZegFormer and of its per-pixel baseline, as published and as small as tests need."""

from dataclasses import dataclass, field, replace

from ovs_jax.nn.resnet import ResNetConfig


@dataclass(frozen=True)
class TransformerConfig:
    """A DETR transformer (Carion et al., 2020) over the coarsest features.

    Attributes:
      queries: segments that are proposed for every image.
      width: channels of every token.
      heads: attention heads.
      hidden: channels inside the feed-forward layers.
      encoder_layers: layers of self-attention among the image tokens; none in the published models.
      decoder_layers: layers of the queries, each of which predicts.
      dropout: rate in training, on attention, inside the feed-forward layers and after every
        sub-layer.
      pre_norm: whether norms stand before the sub-layers in place of after them.
    """

    queries: int = 100
    width: int = 256
    heads: int = 8
    hidden: int = 2048
    encoder_layers: int = 0
    decoder_layers: int = 6
    dropout: float = 0.1
    pre_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("queries", "width", "heads", "hidden", "decoder_layers"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"transformer.{name}: expected at least 1, got {getattr(self, name)}"
                )
        if self.encoder_layers < 0:
            raise ValueError(
                f"transformer.encoder_layers: expected at least 0, got {self.encoder_layers}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"transformer.dropout: expected 0 to below 1, got {self.dropout}")
        if self.width % self.heads or self.width % 4:
            raise ValueError(
                f"transformer.width: expected a multiple of 4 and of the {self.heads} heads, got "
                f"{self.width}"
            )


@dataclass(frozen=True)
class PixelDecoderConfig:
    """A feature pyramid (Lin et al., 2017) that ends in one feature vector a pixel.

    Attributes:
      width: channels of every level.
      outputs: channels of the mask features.
      groups: of the group norms.
      encoder_layers: layers of self-attention over the coarsest level, whose result the queries
        look at, too; none in the published models.
    """

    width: int = 256
    outputs: int = 256
    groups: int = 32
    encoder_layers: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "outputs", "groups"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"pixel_decoder.{name}: expected at least 1, got {getattr(self, name)}"
                )
        if self.width % self.groups:
            raise ValueError(
                f"pixel_decoder: width {self.width} is not a multiple of groups {self.groups}"
            )


@dataclass(frozen=True)
class ZegFormerConfig:
    """ZegFormer (Ding et al., CVPR 2022, section 4).

    Attributes:
      backbone: the residual network.
      pixel_decoder: what makes mask features of its levels; its encoder, if any, has the heads and
        the inner width of ``transformer``.
      transformer: what makes segments.
      embedding: channels of the space that segments share with texts (CLIP ViT-B/16 has 512).
    """

    backbone: ResNetConfig = field(default_factory=ResNetConfig)
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    embedding: int = 512

    def __post_init__(self) -> None:
        _check(self.backbone, self.embedding)


@dataclass(frozen=True)
class PixelBaselineConfig:
    """The per-pixel zero-shot baseline, SPNet-FPN in the paper (section 5.2).

    Attributes:
      backbone: the residual network.
      pixel_decoder: makes the features of the pixels.
      embedding: channels of the space that pixels share with texts.
    """

    backbone: ResNetConfig = field(default_factory=ResNetConfig)
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    embedding: int = 512

    def __post_init__(self) -> None:
        _check(self.backbone, self.embedding)
        if self.pixel_decoder.encoder_layers:
            raise ValueError(
                "pixel_decoder.encoder_layers: the baseline has no transformer, expected 0, got "
                f"{self.pixel_decoder.encoder_layers}"
            )


def _check(backbone: ResNetConfig, embedding: int) -> None:
    if len(backbone.blocks) != 4:
        raise ValueError(f"backbone.blocks: expected four stages, got {backbone.blocks}")
    if embedding < 1:
        raise ValueError(f"embedding: expected at least 1, got {embedding}")


RESNET50 = ResNetConfig()
RESNET101 = ResNetConfig(blocks=(3, 4, 23, 3))
NANO = ResNetConfig(stem=16, width=8, blocks=(1, 1, 1, 1), norm="group")
NANO_PIXELS = PixelDecoderConfig(width=32, outputs=32, groups=8)
PRESETS: dict[str, ZegFormerConfig] = {
    "resnet50": ZegFormerConfig(backbone=RESNET50),
    "resnet101": ZegFormerConfig(backbone=RESNET101),
    "nano": ZegFormerConfig(
        backbone=NANO,
        pixel_decoder=NANO_PIXELS,
        transformer=TransformerConfig(
            queries=12, width=32, heads=2, hidden=64, decoder_layers=2, dropout=0.0
        ),
        embedding=32,
    ),
    "nano_encoders": ZegFormerConfig(
        backbone=NANO,
        pixel_decoder=replace(NANO_PIXELS, encoder_layers=1),
        transformer=TransformerConfig(
            queries=12,
            width=32,
            heads=2,
            hidden=64,
            encoder_layers=1,
            decoder_layers=2,
            pre_norm=True,
        ),
        embedding=32,
    ),
}
"""Published sizes (section 5.1), a nano one, and a nano one of every part that those leave out."""
BASELINE_PRESETS: dict[str, PixelBaselineConfig] = {
    "resnet50": PixelBaselineConfig(backbone=RESNET50),
    "resnet101": PixelBaselineConfig(backbone=RESNET101),
    "nano": PixelBaselineConfig(backbone=NANO, pixel_decoder=NANO_PIXELS, embedding=32),
}
