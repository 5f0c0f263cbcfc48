"""Plain vision transformers in a Hugging Face folder (``ViTModel``), such as DINO's."""

from ovs_jax.conversion.layers import dense, norm, patches
from ovs_jax.conversion.rules import Rule, Transform
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.models.vision.config import VisionConfig

_LAYER, _BLOCK = "encoder.layer.{i}", "blocks/{i}"
RULES = (
    Rule("embeddings.cls_token", ("class_token",), Transform("first")),
    Rule("embeddings.position_embeddings", ("position_embedding",), Transform("first")),
    *patches("embeddings.patch_embeddings.projection", "patch_embedding/projection"),
    *norm(f"{_LAYER}.layernorm_before", f"{_BLOCK}/attention_norm"),
    *[
        rule
        for part in ("query", "key", "value")
        for rule in dense(f"{_LAYER}.attention.attention.{part}", f"{_BLOCK}/attention/{part}")
    ],
    *dense(f"{_LAYER}.attention.output.dense", f"{_BLOCK}/attention/out"),
    *norm(f"{_LAYER}.layernorm_after", f"{_BLOCK}/mlp_norm"),
    *dense(f"{_LAYER}.intermediate.dense", f"{_BLOCK}/mlp/hidden"),
    *dense(f"{_LAYER}.output.dense", f"{_BLOCK}/mlp/out"),
    *norm("layernorm", "norm"),
    Rule("pooler.*", reason="the pooler is not used"),
)


def config(sizes: Sizes) -> VisionConfig:
    """Sizes from ``config.json`` and the shapes."""
    sizes.require("hidden_act", "gelu")
    sizes.require("qkv_bias", True)
    kernel, position = (
        "embeddings.patch_embeddings.projection.weight",
        "embeddings.position_embeddings",
    )
    width = sizes.setting("hidden_size", sizes.size(kernel, 0))
    patch = sizes.setting("patch_size", sizes.size(kernel, -1))
    side = sizes.grid(sizes.size(position, -2) - 1, position)
    hidden = sizes.size("encoder.layer.0.intermediate.dense.weight", 0)
    return VisionConfig(
        image_size=sizes.setting("image_size", side * patch),
        patch_size=patch,
        width=width,
        depth=sizes.setting("num_hidden_layers", sizes.count("encoder.layer.{i}.*")),
        heads=sizes.setting("num_attention_heads", sizes.heads(width)),
        hidden=sizes.setting("intermediate_size", hidden),
        eps=sizes.setting("layer_norm_eps", 1e-12),
    )


SOURCE = Source(
    name="vit-hf",
    summary="a ViT in a Hugging Face folder, such as DINO's",
    rules=RULES,
    config=config,
    marker="embeddings.patch_embeddings.projection.weight",
    prefixes=("", "vit."),
    outside=(Rule("classifier.*", reason="the classifier of ImageNet"),),
    folder=True,
    licence="that of the folder's publisher",
)
