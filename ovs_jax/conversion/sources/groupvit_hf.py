"""GroupViT in a Hugging Face folder (``GroupViTModel``)."""

from typing import Any

from ovs_jax.conversion.layers import (
    clip_text_hf,
    dense,
    grouping_stage,
    norm,
    patches,
    separate_block,
)
from ovs_jax.conversion.rules import ConversionError, Rule, Transform
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.text import TextConfig


def projection(foreign: str, ours: str) -> list[Rule]:
    """A projection head: dense, BatchNorm, ReLU, dense by number."""
    return [
        *dense(f"{foreign}.0", f"{ours}/hidden"),
        *norm(f"{foreign}.1", f"{ours}/norm"),
        Rule(f"{foreign}.1.running_mean", (f"{ours}/norm/mean",)),
        Rule(f"{foreign}.1.running_var", (f"{ours}/norm/variance",)),
        Rule(f"{foreign}.1.num_batches_tracked", reason="a counter that nothing reads"),
        *dense(f"{foreign}.3", f"{ours}/out"),
    ]


_EMBEDDINGS, _STAGE, _OURS = (
    "vision_model.embeddings",
    "vision_model.encoder.stages.{i}",
    "image_encoder/stages/{i}",
)
RULES = (
    Rule("logit_scale", ("logit_scale",)),
    Rule(
        f"{_EMBEDDINGS}.position_embeddings",
        ("image_encoder/position_embedding/embedding",),
        Transform("first"),
    ),
    *patches(
        f"{_EMBEDDINGS}.patch_embeddings.projection", "image_encoder/patch_embedding/projection"
    ),
    *norm(f"{_EMBEDDINGS}.layernorm", "image_encoder/patch_embedding/norm"),
    *grouping_stage(_STAGE, _OURS, out="out_proj"),
    *separate_block(f"{_STAGE}.layers.{{j}}", f"{_OURS}/blocks/{{j}}"),
    *norm("vision_model.layernorm", "image_encoder/norm"),
    *clip_text_hf("text_model", "text_encoder"),
    *projection("visual_projection", "image_projector"),
    *projection("text_projection", "text_projector"),
)


def clip_text_config(sizes: Sizes) -> TextConfig:
    """CLIP's text transformer, as ``text_config`` and the shapes state it."""
    text, names = "text_config", "text_model"
    sizes.require(f"{text}.hidden_act", "quick_gelu")
    sizes.require(f"{text}.layer_norm_eps", 1e-5)
    tokens = f"{names}.embeddings.token_embedding.weight"
    positions = f"{names}.embeddings.position_embedding.weight"
    hidden = f"{names}.encoder.layers.0.mlp.fc1.weight"
    layers = sizes.count(f"{names}.encoder.layers.{{i}}.*")
    width = sizes.setting(f"{text}.hidden_size", sizes.size(tokens, 1))
    return TextConfig(
        kind="clip",
        vocabulary=sizes.setting(f"{text}.vocab_size", sizes.size(tokens, 0)),
        length=sizes.setting(f"{text}.max_position_embeddings", sizes.size(positions, 0)),
        width=width,
        depth=sizes.setting(f"{text}.num_hidden_layers", layers),
        heads=sizes.setting(f"{text}.num_attention_heads", sizes.heads(width)),
        hidden=sizes.setting(f"{text}.intermediate_size", sizes.size(hidden, 0)),
    )


def config(sizes: Sizes) -> GroupViTConfig:
    """Sizes from ``config.json`` and the shapes."""
    vision = "vision_config"
    sizes.require(f"{vision}.hidden_act", "gelu")
    sizes.require(f"{vision}.layer_norm_eps", 1e-5)
    sizes.require(f"{vision}.assign_eps", 1.0)
    sizes.require(f"{vision}.assign_mlp_ratio", [0.5, 4])
    return GroupViTConfig(
        encoder=_encoder_config(sizes, vision),
        text=clip_text_config(sizes),
        projector=ProjectorConfig(
            hidden=sizes.setting(
                "projection_intermediate_dim", sizes.size("visual_projection.0.weight", 0)
            ),
            outputs=sizes.setting("projection_dim", sizes.size("visual_projection.3.weight", 0)),
        ),
        multi_label=False,
    )


def _encoder_config(sizes: Sizes, vision: str) -> EncoderConfig:
    kernel = f"{_EMBEDDINGS}.patch_embeddings.projection.weight"
    position = f"{_EMBEDDINGS}.position_embeddings"
    names = "vision_model.encoder.stages"
    stages = range(sizes.count(f"{names}.{{i}}.*"))
    depths = sizes.setting(
        f"{vision}.depths", [sizes.count(f"{names}.{{i}}.layers.{{j}}.*", i) for i in stages]
    )
    grouping = [i for i in stages if sizes.has(f"{names}.{i}.downsample.*")]
    found = {i: sizes.size(f"{names}.{i}.group_token", -2) for i in grouping}
    tokens = sizes.setting(f"{vision}.num_group_tokens", [found.get(i, 0) for i in stages])
    merged = {i: sizes.size(f"{names}.{i}.downsample.mlp_inter.fc2.weight", 0) for i in grouping}
    groups = sizes.setting(f"{vision}.num_output_groups", [merged.get(i, 0) for i in stages])
    width = sizes.setting(f"{vision}.hidden_size", sizes.size(kernel, 0))
    patch = sizes.setting(f"{vision}.patch_size", sizes.size(kernel, -1))
    side = sizes.grid(sizes.size(position, -2), position)
    return EncoderConfig(
        image_size=sizes.setting(f"{vision}.image_size", side * patch),
        patch_size=patch,
        width=width,
        depths=tuple(depths),
        heads=(sizes.setting(f"{vision}.num_attention_heads", sizes.heads(width)),) * len(depths),
        group_tokens=tuple(tokens),
        # The list may have an entry for the last stage too, which does not group.
        output_groups=tuple(g for g, t in zip(groups, tokens, strict=False) if t),
        patch_norm=True,
    )


def to_settings(config: GroupViTConfig, *, end_id: int) -> dict[str, Any]:
    """What ``config.json`` says of a model of ours.

    Args:
      config: the model's.
      end_id: the id of the end-of-text token, at which the text feature is read.

    Raises:
      ConversionError: the model has choices that this form cannot express.
    """
    encoder, text = config.encoder, config.text
    wanted = {
        "encoder.heads, equal in all stages": len(set(encoder.heads)) == 1,
        "encoder.patch_norm = True": encoder.patch_norm,
        "encoder.patch_hidden = ()": not encoder.patch_hidden,
        "encoder.assignment = 'hard'": encoder.assignment == "hard",
        "encoder.group_residual = 'groups'": encoder.group_residual == "groups",
        "text.kind = 'clip'": text.kind == "clip",
        "projector.hidden above 0": config.projector.hidden > 0,
    }
    problems = [f"model: expected {choice}" for choice, fits in wanted.items() if not fits]
    if problems:
        raise ConversionError.of(problems, what="the export to groupvit-hf")
    groups = iter(encoder.output_groups)
    last = encoder.output_groups[-1]
    return {
        "architectures": ["GroupViTModel"],
        "model_type": "groupvit",
        "projection_dim": config.projector.outputs,
        "projection_intermediate_dim": config.projector.hidden,
        "vision_config": {
            "model_type": "groupvit_vision_model",
            "hidden_size": encoder.width,
            "intermediate_size": 4 * encoder.width,
            "num_hidden_layers": sum(encoder.depths),
            "num_attention_heads": encoder.heads[0],
            "depths": list(encoder.depths),
            "num_group_tokens": list(encoder.group_tokens),
            "num_output_groups": [
                next(groups) if tokens else last for tokens in encoder.group_tokens
            ],
            "image_size": encoder.image_size,
            "patch_size": encoder.patch_size,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
            "assign_eps": 1.0,
            "assign_mlp_ratio": [0.5, 4],
        },
        "text_config": {
            "model_type": "groupvit_text_model",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "intermediate_size": text.hidden,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.length,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "bos_token_id": end_id - 1,
            "eos_token_id": end_id,
        },
    }


SOURCE = Source(
    name="groupvit-hf",
    summary="GroupViT in a Hugging Face folder",
    rules=RULES,
    config=config,
    marker="vision_model.embeddings.patch_embeddings.projection.weight",
    folder=True,
    tokenizer="clip",
    licence="that of the folder's publisher; NVIDIA's weights are for non-commercial use only",
    absent=(("multi_label_logit_scale", "this form has no multi-label loss"),),
)
