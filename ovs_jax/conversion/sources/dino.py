"""DINO's vision transformers: the backbone alone, or the teacher of a full checkpoint."""

from ovs_jax.conversion.layers import vision_transformer
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.models.vision.config import VisionConfig

RULES = tuple(vision_transformer("", ""))


def config(sizes: Sizes) -> VisionConfig:
    """Sizes from shapes; position embeddings have one row for the class token."""
    kernel, position = "patch_embed.proj.weight", "pos_embed"
    width, patch = sizes.size(kernel, 0), sizes.size(kernel, -1)
    return VisionConfig(
        image_size=sizes.grid(sizes.size(position, -2) - 1, position) * patch,
        patch_size=patch,
        width=width,
        depth=sizes.count("blocks.{i}.*"),
        heads=sizes.heads(width),
        hidden=sizes.size("blocks.0.mlp.fc1.weight", 0),
    )


SOURCE = Source(
    name="dino",
    summary="DINO's ViT-S or ViT-B (.pth)",
    rules=RULES,
    config=config,
    marker="patch_embed.proj.weight",
    prefixes=("", "backbone.", "module.backbone.", "module."),
    outside=(
        Rule("head.*", reason="the head of the self-supervised task"),
        Rule("module.head.*", reason="the head of the self-supervised task"),
    ),
    licence="Apache-2.0 (DINO's publishers)",
)
