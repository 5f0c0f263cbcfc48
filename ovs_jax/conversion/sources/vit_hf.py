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
    """Sizes from ``config.json``."""
    sizes.setting("hidden_act", str, expected="gelu")
    sizes.setting("qkv_bias", bool, expected=True)
    return VisionConfig(
        image_size=sizes.setting("image_size", int),
        patch_size=sizes.setting("patch_size", int),
        width=sizes.setting("hidden_size", int),
        depth=sizes.setting("num_hidden_layers", int),
        heads=sizes.setting("num_attention_heads", int),
        hidden=sizes.setting("intermediate_size", int),
        eps=sizes.setting("layer_norm_eps", float),
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
