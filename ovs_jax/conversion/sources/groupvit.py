"""The original GroupViT checkpoints (``.pth``)."""

from ovs_jax.conversion.layers import clip_text, grouping_encoder, projector
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.text import TextConfig

RULES = (
    Rule("logit_scale", ("logit_scale",)),
    Rule("multi_label_logit_scale", ("multi_label_logit_scale",)),
    *grouping_encoder("img_encoder", "image_encoder"),
    *clip_text("text_encoder.", "text_encoder"),
    *projector("img_projector", "image_projector"),
    *projector("text_projector", "text_projector"),
)


def encoder_config(sizes: Sizes, prefix: str, *, heads: int | None = None) -> EncoderConfig:
    """The sizes of a grouping encoder under its original names.

    Args:
      sizes: of the checkpoint.
      prefix: of the encoder.
      heads: attention heads where they do not follow from the width.
    """
    stage = f"{prefix}.layers.{{i}}"
    stages = range(sizes.count(f"{stage}.*"))
    grouping = [i for i in stages if sizes.has(f"{prefix}.layers.{i}.downsample.*")]
    position, kernel = f"{prefix}.pos_embed", f"{prefix}.patch_embed.proj.weight"
    width, patch = sizes.size(kernel, 0), sizes.size(kernel, -1)
    tokens = {i: sizes.size(f"{prefix}.layers.{i}.group_token", -2) for i in grouping}
    return EncoderConfig(
        image_size=sizes.grid(sizes.size(position, -2), position) * patch,
        patch_size=patch,
        width=width,
        depths=tuple(sizes.count(f"{stage}.blocks.{{j}}.*", i) for i in stages),
        heads=tuple(heads or sizes.heads(width) for _ in stages),
        group_tokens=tuple(tokens.get(i, 0) for i in stages),
        output_groups=tuple(
            sizes.size(f"{prefix}.layers.{i}.downsample.mlp_inter.fc2.weight", 0) for i in grouping
        ),
        patch_norm=sizes.has(f"{prefix}.patch_embed.norm.*"),
    )


def projector_config(sizes: Sizes, prefix: str) -> ProjectorConfig:
    """The sizes of a projection head under its original names."""
    return ProjectorConfig(
        hidden=sizes.size(f"{prefix}.linear_hidden.0.weight", 0),
        outputs=sizes.size(f"{prefix}.linear_out.weight", 0),
    )


def clip_text_config(sizes: Sizes, prefix: str) -> TextConfig:
    """The sizes of CLIP's text transformer under its original names."""
    tokens = f"{prefix}token_embedding.weight"
    width = sizes.size(tokens, 1)
    return TextConfig(
        kind="clip",
        vocabulary=sizes.size(tokens, 0),
        length=sizes.size(f"{prefix}positional_embedding", 0),
        width=width,
        depth=sizes.count(f"{prefix}transformer.resblocks.{{i}}.*"),
        heads=sizes.heads(width),
        hidden=sizes.size(f"{prefix}transformer.resblocks.0.mlp.c_fc.weight", 0),
    )


def config(sizes: Sizes) -> GroupViTConfig:
    """Sizes from shapes."""
    return GroupViTConfig(
        encoder=encoder_config(sizes, "img_encoder"),
        text=clip_text_config(sizes, "text_encoder."),
        projector=projector_config(sizes, "img_projector"),
        multi_label=sizes.has("multi_label_logit_scale"),
    )


SOURCE = Source(
    name="groupvit",
    summary="the original GroupViT (.pth)",
    rules=RULES,
    config=config,
    marker="img_encoder.patch_embed.proj.weight",
    prefixes=("", "module."),
    tokenizer="clip",
    licence="NVIDIA Source Code License: non-commercial use only",
)
