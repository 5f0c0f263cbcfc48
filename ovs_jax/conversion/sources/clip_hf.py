"""CLIP in a Hugging Face folder (``CLIPModel``)."""

from ovs_jax.conversion.layers import clip_text_hf, norm, separate_block
from ovs_jax.conversion.rules import Rule, Transform
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.groupvit_hf import clip_text_config
from ovs_jax.models.vision.config import ClipConfig, VisionConfig

_EMBEDDINGS = "vision_model.embeddings"
_TRANSPOSE = Transform("transpose")
RULES = (
    Rule("logit_scale", ("logit_scale",)),
    Rule(f"{_EMBEDDINGS}.class_embedding", ("image_encoder/class_token",), Transform("row")),
    Rule(f"{_EMBEDDINGS}.position_embedding.weight", ("image_encoder/position_embedding",)),
    Rule(
        f"{_EMBEDDINGS}.patch_embedding.weight",
        ("image_encoder/patch_embedding/projection/kernel",),
        Transform("patches"),
    ),
    Rule(f"{_EMBEDDINGS}.position_ids", reason="a constant"),
    *norm("vision_model.pre_layrnorm", "image_encoder/pre_norm"),  # spelt so in the files
    *separate_block("vision_model.encoder.layers.{i}", "image_encoder/blocks/{i}"),
    *norm("vision_model.post_layernorm", "image_encoder/norm"),
    Rule("visual_projection.weight", ("image_projection/kernel",), _TRANSPOSE),
    *clip_text_hf("text_model", "text_encoder"),
    Rule("text_projection.weight", ("text_projection/kernel",), _TRANSPOSE),
)


def config(sizes: Sizes) -> ClipConfig:
    """Sizes from ``config.json`` and the shapes."""
    vision, names = "vision_config", "vision_model.encoder.layers"
    sizes.require(f"{vision}.hidden_act", "quick_gelu")
    sizes.require(f"{vision}.layer_norm_eps", 1e-5)
    kernel, position = (
        f"{_EMBEDDINGS}.patch_embedding.weight",
        f"{_EMBEDDINGS}.position_embedding.weight",
    )
    width = sizes.setting(f"{vision}.hidden_size", sizes.size(kernel, 0))
    patch = sizes.setting(f"{vision}.patch_size", sizes.size(kernel, -1))
    side = sizes.grid(sizes.size(position, 0) - 1, position)
    hidden = sizes.size(f"{names}.0.mlp.fc1.weight", 0)
    image = VisionConfig(
        image_size=sizes.setting(f"{vision}.image_size", side * patch),
        patch_size=patch,
        width=width,
        depth=sizes.setting(f"{vision}.num_hidden_layers", sizes.count(f"{names}.{{i}}.*")),
        heads=sizes.setting(f"{vision}.num_attention_heads", sizes.heads(width)),
        hidden=sizes.setting(f"{vision}.intermediate_size", hidden),
        activation="quick_gelu",
        eps=1e-5,
        pre_norm=True,
        patch_bias=False,
    )
    embedding = sizes.setting("projection_dim", sizes.size("visual_projection.weight", 0))
    return ClipConfig(image, clip_text_config(sizes), embedding)


SOURCE = Source(
    name="clip-hf",
    summary="CLIP in a Hugging Face folder",
    rules=RULES,
    config=config,
    marker="vision_model.embeddings.patch_embedding.weight",
    folder=True,
    tokenizer="clip",
    licence="that of the folder's publisher; OpenAI's CLIP is under the MIT licence",
)
