"""ImageNet vision transformers under timm's names."""

from ovs_jax.conversion.layers import vision_transformer
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.dino import config

RULES = (
    *vision_transformer("", ""),
    Rule("head.*", reason="the classifier of ImageNet"),
    Rule("pre_logits.*", reason="a layer before the classifier of ImageNet"),
)
SOURCE = Source(
    name="timm-vit",
    summary="an ImageNet ViT under timm's names",
    rules=RULES,
    config=config,
    marker="patch_embed.proj.weight",
    prefixes=("", "module."),
    licence="that of the file's publisher",
)
