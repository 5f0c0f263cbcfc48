"""CLIP under its original names (OpenAI), with a vision transformer."""

from ovs_jax.conversion.layers import clip_text, norm, open_block
from ovs_jax.conversion.rules import Rule, Transform
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.groupvit import clip_text_config
from ovs_jax.models.vision.config import ClipConfig, VisionConfig

RULES = (
    Rule("logit_scale", ("logit_scale",)),
    Rule("visual.class_embedding", ("image_encoder/class_token",), Transform("row")),
    Rule("visual.positional_embedding", ("image_encoder/position_embedding",)),
    Rule(
        "visual.conv1.weight",
        ("image_encoder/patch_embedding/projection/kernel",),
        Transform("patches"),
    ),
    *norm("visual.ln_pre", "image_encoder/pre_norm"),
    *open_block("visual.transformer.resblocks.{i}", "image_encoder/blocks/{i}"),
    *norm("visual.ln_post", "image_encoder/norm"),
    Rule("visual.proj", ("image_projection/kernel",)),
    *clip_text("", "text_encoder"),
    Rule("text_projection", ("text_projection/kernel",)),
    Rule("input_resolution", reason="a size, which the shapes tell too"),
    Rule("context_length", reason="a size, which the shapes tell too"),
    Rule("vocab_size", reason="a size, which the shapes tell too"),
)


def config(sizes: Sizes) -> ClipConfig:
    """Sizes from shapes."""
    kernel, position = "visual.conv1.weight", "visual.positional_embedding"
    width, patch = sizes.size(kernel, 0), sizes.size(kernel, -1)
    image = VisionConfig(
        image_size=sizes.grid(sizes.size(position, 0) - 1, position) * patch,
        patch_size=patch,
        width=width,
        depth=sizes.count("visual.transformer.resblocks.{i}.*"),
        heads=sizes.heads(width),
        hidden=sizes.size("visual.transformer.resblocks.0.mlp.c_fc.weight", 0),
        activation="quick_gelu",
        eps=1e-5,
        pre_norm=True,
        patch_bias=False,
    )
    return ClipConfig(image, clip_text_config(sizes, ""), sizes.size("visual.proj", 1))


SOURCE = Source(
    name="clip",
    summary="OpenAI's CLIP with a ViT: its state dict, or a Hugging Face folder",
    rules=RULES,
    config=config,
    marker="visual.conv1.weight",
    prefixes=("", "module."),
    tokenizer="clip",
    licence="MIT (OpenAI)",
)
