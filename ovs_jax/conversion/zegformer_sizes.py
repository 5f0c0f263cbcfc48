"""Our config of an original ZegFormer checkpoint, read off the shapes of its arrays."""

import re
from collections.abc import Mapping

from ovs_jax.models.zegformer.config import (
    PixelDecoderConfig,
    TransformerConfig,
    ZegFormerConfig,
)
from ovs_jax.nn.resnet import ResNetConfig

HEADS = 8
"""Attention heads of every published model; shapes do not tell them."""
_PREDICTOR = "sem_seg_head.predictor"
_PIXELS = "sem_seg_head.pixel_decoder"


def zegformer_config(
    shapes: Mapping[str, tuple[int, ...]], *, heads: int = HEADS, pre_norm: bool | None = None
) -> ZegFormerConfig:
    """The config of a checkpoint.

    Args:
      shapes: by original name.
      heads: attention heads.
      pre_norm: whether norms stand before the sub-layers. None reads it off the norm after the
        encoder, which only such models have; a model without any encoder is then taken for
        post-norm, like all published ones.

    Returns:
      The config, without dropout (which weights do not tell).

    Raises:
      ValueError: an array in which a size stands is missing; the message names it.
    """

    def side(name: str, axis: int) -> int:
        if name not in shapes or not len(shapes[name]) > axis:
            raise ValueError(f"{name}: missing, and the model's size stands in it")
        return shapes[name][axis]

    def count(pattern: str) -> int:
        found = (re.match(pattern, name) for name in shapes)
        return max((int(match[1]) + 1 for match in found if match), default=0)

    layers = f"{_PREDICTOR}.transformer.decoder.layers"
    norms = (f"{_PREDICTOR}.transformer.encoder.norm.weight",
             f"{_PIXELS}.transformer.encoder.norm.weight")  # fmt: skip
    return ZegFormerConfig(
        backbone=ResNetConfig(
            stem=side("backbone.stem.conv1.weight", 0),
            width=side("backbone.res2.0.conv1.weight", 0),
            blocks=tuple(count(rf"backbone\.res{stage}\.(\d+)\.") for stage in (2, 3, 4, 5)),
        ),
        pixel_decoder=PixelDecoderConfig(
            width=side(f"{_PIXELS}.mask_features.weight", 1),
            outputs=side(f"{_PIXELS}.mask_features.weight", 0),
            encoder_layers=count(re.escape(_PIXELS) + r"\.transformer\.encoder\.layers\.(\d+)\."),
        ),
        transformer=TransformerConfig(
            queries=side(f"{_PREDICTOR}.query_embed.weight", 0),
            width=side(f"{_PREDICTOR}.query_embed.weight", 1),
            heads=heads,
            hidden=side(f"{layers}.0.linear1.weight", 0),
            encoder_layers=count(
                re.escape(_PREDICTOR) + r"\.transformer\.encoder\.layers\.(\d+)\."
            ),
            decoder_layers=count(re.escape(layers) + r"\.(\d+)\."),
            dropout=0.0,
            pre_norm=any(name in shapes for name in norms) if pre_norm is None else pre_norm,
        ),
        embedding=side(f"{_PREDICTOR}.projection_layer.weight", 0),
    )
