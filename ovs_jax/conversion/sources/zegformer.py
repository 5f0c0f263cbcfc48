"""ZegFormer under its original names.

How many classes it was trained with stands in the class weights of the loss alone, which are left
out: text embeddings are no part of a checkpoint.
"""

from ovs_jax.conversion.layers import convolution, dense, fused, kernel, norm
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources import resnet_detectron
from ovs_jax.models.zegformer.config import (
    PixelDecoderConfig,
    TransformerConfig,
    ZegFormerConfig,
)

_HEAD = "sem_seg_head"
_PREDICTOR = f"{_HEAD}.predictor"
_PIXELS = f"{_HEAD}.pixel_decoder"
HEADS = 8
"""Attention heads of every published model; shapes do not tell them."""
CLASS_WEIGHTS = "criterion.empty_weight"


def normed_convolution(foreign: str, ours: str) -> list[Rule]:
    """A convolution without bias, and a group norm."""
    return [kernel(foreign, f"{ours}/conv"), *norm(f"{foreign}.norm", f"{ours}/norm")]


def attention(foreign: str, ours: str) -> list[Rule]:
    """An attention whose query, key and value weights are one array."""
    return [
        *fused(f"{foreign}.in_proj_weight", f"{foreign}.in_proj_bias", ours),
        *dense(f"{foreign}.out_proj", f"{ours}/out"),
    ]


def _feed_forward(foreign: str, ours: str) -> list[Rule]:
    return dense(f"{foreign}.linear1", f"{ours}/hidden") + dense(
        f"{foreign}.linear2", f"{ours}/out"
    )


def encoder(foreign: str, ours: str) -> list[Rule]:
    """Self-attention layers over image tokens."""
    layer, mine = f"{foreign}.layers.{{i}}", f"{ours}/layers/{{i}}"
    return [
        *attention(f"{layer}.self_attn", f"{mine}/attention"),
        *norm(f"{layer}.norm1", f"{mine}/attention_norm"),
        *_feed_forward(layer, f"{mine}/mlp"),
        *norm(f"{layer}.norm2", f"{mine}/mlp_norm"),
        *norm(f"{foreign}.norm", f"{ours}/norm"),
    ]


def decoder(foreign: str, ours: str) -> list[Rule]:
    """Layers of the queries, and the norm they share."""
    layer, mine = f"{foreign}.layers.{{i}}", f"{ours}/layers/{{i}}"
    return [
        *attention(f"{layer}.self_attn", f"{mine}/attention"),
        *norm(f"{layer}.norm1", f"{mine}/attention_norm"),
        *attention(f"{layer}.multihead_attn", f"{mine}/cross"),
        *norm(f"{layer}.norm2", f"{mine}/cross_norm"),
        *_feed_forward(layer, f"{mine}/mlp"),
        *norm(f"{layer}.norm3", f"{mine}/mlp_norm"),
        *norm(f"{foreign}.norm", f"{ours}/norm"),
    ]


def pixel_decoder() -> list[Rule]:
    """Both pixel decoders; levels are counted from 1 there, from the finest."""
    mine = "pixel_decoder"
    rules = []
    for level in (1, 2, 3, 4):
        rules += normed_convolution(f"{_PIXELS}.layer_{level}", f"{mine}/layers/{level - 1}")
    for level in (1, 2, 3):
        rules += normed_convolution(f"{_PIXELS}.adapter_{level}", f"{mine}/adapters/{level - 1}")
    tokens = f"{mine}/token_encoder"
    return [
        *rules,
        *convolution(f"{_PIXELS}.mask_features", f"{mine}/mask_features"),
        *convolution(f"{_PIXELS}.input_proj", f"{tokens}/input_projection"),
        *encoder(f"{_PIXELS}.transformer.encoder", f"{tokens}/encoder"),
    ]


RULES = (
    *resnet_detectron.NAMES.rules("backbone.", "backbone/"),
    *pixel_decoder(),
    *convolution(f"{_PREDICTOR}.input_proj", "input_projection"),
    *encoder(f"{_PREDICTOR}.transformer.encoder", "encoder"),
    *decoder(f"{_PREDICTOR}.transformer.decoder", "decoder"),
    Rule(f"{_PREDICTOR}.query_embed.weight", ("query_embedding",)),
    *dense(f"{_PREDICTOR}.mask_embed.layers.{{i}}", "mask_head/layers/{i}"),
    *dense(f"{_PREDICTOR}.projection_layer", "class_head/projection"),
    Rule(f"{_PREDICTOR}.bg_feature", ("class_head/no_object",)),
    Rule(f"{_PREDICTOR}.logit_scale", ("class_head/logit_scale",)),
    Rule(CLASS_WEIGHTS, reason="class weights, which the loss makes itself"),
    Rule("*clip*", reason="the frozen CLIP comes from its own file"),
    Rule("pixel_mean", reason="a constant"),
    Rule("pixel_std", reason="a constant"),
)


def config(sizes: Sizes) -> ZegFormerConfig:
    """Sizes from shapes; without dropout, which weights do not tell.

    Norms before the sub-layers show in the norm after an encoder, which only such models have; a
    model without any encoder is taken for post-norm, like all published ones.
    """
    layers = f"{_PREDICTOR}.transformer.decoder.layers"
    encoders = (f"{_PREDICTOR}.transformer.encoder", f"{_PIXELS}.transformer.encoder")
    width = sizes.size(f"{_PREDICTOR}.query_embed.weight", 1)
    return ZegFormerConfig(
        backbone=resnet_detectron.NAMES.config(sizes, "backbone."),
        pixel_decoder=PixelDecoderConfig(
            width=sizes.size(f"{_PIXELS}.mask_features.weight", 1),
            outputs=sizes.size(f"{_PIXELS}.mask_features.weight", 0),
            encoder_layers=sizes.count(f"{encoders[1]}.layers.{{i}}.*"),
        ),
        transformer=TransformerConfig(
            queries=sizes.size(f"{_PREDICTOR}.query_embed.weight", 0),
            width=width,
            heads=HEADS,
            hidden=sizes.size(f"{layers}.0.linear1.weight", 0),
            encoder_layers=sizes.count(f"{encoders[0]}.layers.{{i}}.*"),
            decoder_layers=sizes.count(f"{layers}.{{i}}.*"),
            dropout=0.0,
            pre_norm=any(sizes.has(f"{encoder}.norm.weight") for encoder in encoders),
        ),
        embedding=sizes.size(f"{_PREDICTOR}.projection_layer.weight", 0),
    )


SOURCE = Source(
    name="zegformer",
    summary="a ZegFormer with a ResNet (.pth)",
    rules=RULES,
    config=config,
    marker=f"{_PREDICTOR}.projection_layer.weight",
    prefixes=("", "module."),
    licence="that of the file's publisher",
)
