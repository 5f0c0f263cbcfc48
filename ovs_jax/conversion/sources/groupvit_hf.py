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
    """CLIP's text transformer, as ``text_config`` states it."""
    text = "text_config"
    sizes.setting(f"{text}.hidden_act", str, expected="quick_gelu")
    sizes.setting(f"{text}.layer_norm_eps", float, expected=1e-5)
    return TextConfig(
        kind="clip",
        vocabulary=sizes.setting(f"{text}.vocab_size", int),
        length=sizes.setting(f"{text}.max_position_embeddings", int),
        width=sizes.setting(f"{text}.hidden_size", int),
        depth=sizes.setting(f"{text}.num_hidden_layers", int),
        heads=sizes.setting(f"{text}.num_attention_heads", int),
        hidden=sizes.setting(f"{text}.intermediate_size", int),
    )


def config(sizes: Sizes) -> GroupViTConfig:
    """Sizes from ``config.json``."""
    vision = "vision_config"
    sizes.setting(f"{vision}.hidden_act", str, expected="gelu")
    sizes.setting(f"{vision}.layer_norm_eps", float, expected=1e-5)
    sizes.setting(f"{vision}.assign_eps", float, expected=1.0)
    sizes.setting(f"{vision}.assign_mlp_ratio", list, expected=[0.5, 4])
    depths = sizes.setting(f"{vision}.depths", list)
    tokens = sizes.setting(f"{vision}.num_group_tokens", list)
    groups = sizes.setting(f"{vision}.num_output_groups", list)
    encoder = EncoderConfig(
        image_size=sizes.setting(f"{vision}.image_size", int),
        patch_size=sizes.setting(f"{vision}.patch_size", int),
        width=sizes.setting(f"{vision}.hidden_size", int),
        depths=tuple(depths),
        heads=(sizes.setting(f"{vision}.num_attention_heads", int),) * len(depths),
        group_tokens=tuple(tokens),
        # The list has an entry for the last stage too, which does not group.
        output_groups=tuple(g for g, t in zip(groups, tokens, strict=False) if t),
        patch_norm=True,
    )
    projector = ProjectorConfig(
        hidden=sizes.setting("projection_intermediate_dim", int),
        outputs=sizes.setting("projection_dim", int),
    )
    return GroupViTConfig(encoder, clip_text_config(sizes), projector, multi_label=False)


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
