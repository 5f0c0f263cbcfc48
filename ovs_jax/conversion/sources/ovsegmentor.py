"""The original OVSegmentor checkpoints (``.pth``) of stages 1 and 2."""

from ovs_jax.conversion.layers import (
    block,
    cross_block,
    dense,
    grouping_encoder,
    norm,
    projector,
    text_transformer,
)
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.bert import text_config
from ovs_jax.conversion.sources.groupvit import encoder_config, projector_config
from ovs_jax.models.ovsegmentor.config import OVSegmentorConfig

HEADS = 8
"""Of every attention of the image encoder and of the decoder, whatever the width."""


def entity_decoder(foreign: str, ours: str) -> list[Rule]:
    """The masked-entity decoder."""
    layer, mine = f"{foreign}.blocks.{{i}}", f"{ours}/layers/{{i}}"
    return [
        *norm(f"{layer}.norm_tokens", f"{mine}/question_norm"),
        *norm(f"{layer}.norm_x", f"{mine}/group_norm"),
        *cross_block(f"{layer}.pre_assign_attn", f"{mine}/cross"),
        *block(f"{layer}.post_attn", f"{mine}/block"),
        *norm(f"{layer}.norm_new_x", f"{mine}/out_norm"),
        Rule(f"{layer}.assign.*", reason="a sub-module that the published code never calls"),
    ]


_TEXT = "text_encoder.transformer."
RULES = (
    Rule("logit_scale", ("logit_scale",)),
    Rule("logit_scale_mask", reason="a temperature that no loss uses"),
    *grouping_encoder("img_encoder", "image_encoder"),
    *grouping_encoder("img_encoder_momentum", "momentum_encoder"),
    *text_transformer(_TEXT, "text_encoder/"),
    *projector("img_projector", "image_projector"),
    *projector("text_projector", "text_projector"),
    *projector("bridge_projector", "bridge_projector"),
    *dense("align_proj_img", "image_alignment"),
    *dense("align_proj_text", "text_alignment"),
    *entity_decoder("multimodal_groupingblock", "entity_decoder"),
)


def config(sizes: Sizes) -> OVSegmentorConfig:
    """Sizes from shapes."""
    decoder = "multimodal_groupingblock.blocks.{i}.*"
    return OVSegmentorConfig(
        encoder=encoder_config(sizes, "img_encoder", heads=HEADS),
        text=text_config(sizes, _TEXT),
        projector=projector_config(sizes, "img_projector"),
        entity=sizes.has(decoder),
        decoder_layers=max(sizes.count(decoder), 1),
        decoder_heads=HEADS,
        momentum=sizes.has("img_encoder_momentum.*"),
    )


SOURCE = Source(
    name="ovsegmentor",
    summary="the original OVSegmentor (.pth), stage 1 or 2",
    rules=RULES,
    config=config,
    marker="img_encoder.patch_embed.proj.weight",
    prefixes=("", "module."),
    tokenizer="wordpiece",
    licence="not known to this project; ask its publishers",
)
