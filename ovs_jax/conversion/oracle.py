"""The libraries that published weights are for, as torch modules, filled without our rules.

Everything here goes from foreign names to the names of ``transformers`` by substitution, so that a
wrong rule of ours cannot cancel itself out. It takes torch and transformers.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.conversion.sources.groupvit_hf import to_settings
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.models.text import TextConfig
from ovs_jax.models.vision.config import ClipConfig, VisionConfig

Names = Sequence[tuple[str, str]]
FUSED = "FUSED"
"""Stands in a substituted name for query, key and value, whose rows are together in the source."""

_BLOCK: Names = (
    (r"\.norm1\.", ".layer_norm1."),
    (r"\.norm2\.", ".layer_norm2."),
    (r"\.attn\.qkv\.", f".self_attn.{FUSED}."),
    (r"\.attn\.proj\.", ".self_attn.out_proj."),
)
_OPEN_BLOCK: Names = (
    (r"\.ln_1\.", ".layer_norm1."),
    (r"\.ln_2\.", ".layer_norm2."),
    (r"\.attn\.in_proj_", f".self_attn.{FUSED}."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_GROUPING: Names = (
    (r"^img_encoder\.pos_embed$", "vision_model.embeddings.position_embeddings"),
    (r"^img_encoder\.patch_embed\.proj", "vision_model.embeddings.patch_embeddings.projection"),
    (r"^img_encoder\.patch_embed\.norm", "vision_model.embeddings.layernorm"),
    (r"^img_encoder\.norm", "vision_model.layernorm"),
    (r"^img_encoder\.layers\.", "vision_model.encoder.stages."),
    (r"\.pre_assign_attn\.attn\.proj\.", ".pre_assign_attn.attn.out_proj."),
    (r"^img_projector\.linear_hidden", "visual_projection"),
    (r"^img_projector\.linear_out", "visual_projection.3"),
    (r"^text_projector\.linear_hidden", "text_projection"),
    (r"^text_projector\.linear_out", "text_projection.3"),
)
_TEXT: Names = (
    (r"token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"(?<!visual\.)positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"(?<!visual\.)transformer\.resblocks", "text_model.encoder.layers"),
    (r"ln_final", "text_model.final_layer_norm"),
)
GROUPVIT: Names = (
    (r"^text_encoder\.", ""),
    *_TEXT,
    *_OPEN_BLOCK,
    *_GROUPING,
    *((r"(stages\.\d+)\.blocks(\.\d+)(.*)" + tail, r"\1.layers\2\3" + to) for tail, to in _BLOCK),
    (r"(stages\.\d+)\.blocks\.", r"\1.layers."),
)
CLIP: Names = (
    (r"^visual\.class_embedding", "vision_model.embeddings.class_embedding"),
    (r"^visual\.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.conv1", "vision_model.embeddings.patch_embedding"),
    (r"^visual\.ln_pre", "vision_model.pre_layrnorm"),
    (r"^visual\.ln_post", "vision_model.post_layernorm"),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^text_projection$", "text_projection.weight"),
    (r"^visual\.transformer\.resblocks", "vision_model.encoder.layers"),
    *_TEXT,
    *_OPEN_BLOCK,
)
VIT: Names = (
    (r"^cls_token", "embeddings.cls_token"),
    (r"^pos_embed", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.(\d+)", r"encoder.layer.\1"),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.qkv\.", f".attention.attention.{FUSED}."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
_PARTS = {"self_attn": ("q_proj", "k_proj", "v_proj"), "attention": ("query", "key", "value")}


def substituted(state: Mapping[str, np.ndarray], names: Names) -> dict[str, Any]:
    """A state dict of torch under the names of transformers.

    Args:
      state: foreign names, without a prefix, and arrays.
      names: substitutions, in order; all that match apply.
    """
    import torch

    found: dict[str, Any] = {}
    for name, array in state.items():
        if array.dtype.kind not in "fV":
            continue  # counters
        target = name
        for pattern, replacement in names:
            target = re.sub(pattern, replacement, target)
        tensor = torch.from_numpy(np.array(array, np.float32))
        if re.search(r"projection(\.0|\.3)?\.weight$", target) and tensor.ndim > 1:
            # 1x1 convolutions have a third axis; CLIP's own projections are the other way round.
            tensor = tensor.squeeze(-1) if tensor.ndim == 3 else tensor
            tensor = tensor.T if name in ("visual.proj", "text_projection") else tensor
        if target.endswith("position_embeddings") and tensor.ndim == 2:
            tensor = tensor[None]
        if FUSED in target:
            before = target.split(f".{FUSED}")[0].rsplit(".", 1)[-1]
            for part, rows in zip(_PARTS[before], tensor.chunk(3), strict=True):
                found[target.replace(FUSED, part)] = rows.contiguous()
        else:
            found[target] = tensor.contiguous()
    return found


def _filled(model: Any, state: Mapping[str, Any], *, spare: str = "") -> Any:
    """A model with the state; every parameter must be in it but those that ``spare`` matches."""
    outcome = model.load_state_dict(state, strict=False)
    missing = [name for name in outcome.missing_keys if not name.endswith("num_batches_tracked")]
    missing = [name for name in missing if not (spare and re.search(spare, name))]
    if missing:
        raise ValueError(f"verify: nothing fills {', '.join(missing[:8])} of the library's model")
    return model.float().eval()


def from_folder(kind: str, folder: Path) -> Any:
    """A model of transformers from a Hugging Face folder."""
    import transformers

    return getattr(transformers, kind).from_pretrained(folder).float().eval()


def groupvit(state: Mapping[str, np.ndarray], config: GroupViTConfig) -> Any:
    """``GroupViTModel`` with an original checkpoint's weights."""
    import transformers

    settings = to_settings(config, end_id=config.text.vocabulary - 1)
    model = transformers.GroupViTModel(transformers.GroupViTConfig(**settings))
    return _filled(model, substituted(state, GROUPVIT))


def grouping_encoder(
    state: Mapping[str, np.ndarray], encoder: EncoderConfig, projection: GroupViTConfig
) -> Any:
    """``GroupViTModel`` as OVSegmentor's image side and its projectors; its text side is not used.

    Args:
      state: original names and arrays.
      encoder: of OVSegmentor.
      projection: a GroupViT of the same projectors, with any text transformer of the same width.
    """
    import torch
    import transformers

    settings = to_settings(projection, end_id=projection.text.vocabulary - 1)
    model = transformers.GroupViTModel(transformers.GroupViTConfig(**settings))
    model = _filled(
        model, substituted(state, GROUPVIT), spare="text_model|embeddings.layernorm|^logit"
    )
    if not encoder.patch_norm:
        model.vision_model.embeddings.layernorm = torch.nn.Identity()
    return model


def text_transformer(state: Mapping[str, np.ndarray], config: TextConfig) -> Any:
    """``BertModel`` or ``RobertaModel``, from names without prefix."""
    import transformers

    roberta = config.kind == "roberta"
    settings = {
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.length + (2 if roberta else 0),
        "type_vocab_size": 1 if roberta else 2,
        "layer_norm_eps": 1e-5 if roberta else 1e-12,
        "pad_token_id": 1 if roberta else 0,
    }
    if roberta:
        model = transformers.RobertaModel(transformers.RobertaConfig(**settings))
    else:
        model = transformers.BertModel(transformers.BertConfig(**settings))
    return _filled(model, substituted(state, ()), spare="pooler|position_ids|token_type_ids")


def clip(state: Mapping[str, np.ndarray], config: ClipConfig) -> Any:
    """``CLIPModel`` with OpenAI's weights."""
    import transformers

    image, text = config.image, config.text
    settings = {
        "projection_dim": config.embedding,
        "vision_config": {
            "hidden_size": image.width,
            "intermediate_size": image.hidden,
            "num_hidden_layers": image.depth,
            "num_attention_heads": image.heads,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
        },
        "text_config": {
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "intermediate_size": text.hidden,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.length,
            "eos_token_id": text.vocabulary - 1,
            "bos_token_id": text.vocabulary - 2,
        },
    }
    model = transformers.CLIPModel(transformers.CLIPConfig(**settings))
    return _filled(model, substituted(state, CLIP), spare="position_ids")


def vision_transformer(state: Mapping[str, np.ndarray], config: VisionConfig, folder: Path) -> Any:
    """``ViTModel`` with DINO's or timm's weights, by way of a folder in its saved form.

    The names within the module have changed between versions; those of files have not.
    """
    import safetensors.torch
    import transformers

    settings = transformers.ViTConfig(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        intermediate_size=config.hidden,
        image_size=config.image_size,
        patch_size=config.patch_size,
        layer_norm_eps=config.eps,
    )
    settings.architectures = ["ViTModel"]
    settings.save_pretrained(folder)
    tensors = substituted(state, VIT)
    tensors = {n: t for n, t in tensors.items() if not n.startswith(("head", "pre_logits"))}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False).float().eval()


def entity_decoder(
    state: Mapping[str, np.ndarray], question: Any, groups: Any, *, heads: int
) -> tuple[Any, Any]:
    """OVSegmentor's masked-entity decoder and bridge projector, straight from the original names.

    Args:
      state: original names and arrays.
      question: text tokens before alignment, b l d.
      groups: image groups before alignment, b g d.
      heads: of every attention.

    Returns:
      The decoded tokens and the projected first one.
    """
    import torch
    from torch.nn import functional

    weights = {n: torch.from_numpy(np.array(a, np.float32)) for n, a in state.items()}

    def dense(name: str, x: Any) -> Any:
        return functional.linear(x, weights[f"{name}.weight"].squeeze(-1), weights[f"{name}.bias"])

    def aligned(name: str, x: Any) -> Any:
        return dense(name, x) if f"{name}.weight" in weights else x

    def norm(name: str, x: Any) -> Any:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], scale, shift, 1e-5)

    def attend(q: Any, k: Any, v: Any) -> Any:
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        share = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return (share @ v).transpose(1, 2).flatten(2)

    def mlp(name: str, x: Any) -> Any:
        return dense(f"{name}.fc2", functional.gelu(dense(f"{name}.fc1", x)))

    question, groups = aligned("align_proj_text", question), aligned("align_proj_img", groups)
    layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("multimodal_grouping"))
    x = torch.zeros_like(question)
    for i in range(layers):
        layer = f"multimodal_groupingblock.blocks.{i}"
        cross, self_block = f"{layer}.pre_assign_attn", f"{layer}.post_attn"
        seen, tokens = norm(f"{layer}.norm_tokens", question), norm(f"{layer}.norm_x", groups)
        answer = attend(
            dense(f"{cross}.attn.q_proj", seen),
            dense(f"{cross}.attn.k_proj", tokens),
            dense(f"{cross}.attn.v_proj", tokens),
        )
        seen = seen + dense(f"{cross}.attn.proj", answer)
        seen = norm(f"{cross}.norm_post", seen + mlp(f"{cross}.mlp", norm(f"{cross}.norm2", seen)))
        x = x + seen
        parts = dense(f"{self_block}.attn.qkv", norm(f"{self_block}.norm1", x)).chunk(3, -1)
        x = x + dense(f"{self_block}.attn.proj", attend(*parts))
        x = x + mlp(f"{self_block}.mlp", norm(f"{self_block}.norm2", x))
        x = norm(f"{layer}.norm_new_x", x + seen)
    bridge = "bridge_projector"
    hidden = dense(f"{bridge}.linear_hidden.0", x[:, 0])
    scale, shift, mean, variance = (
        weights[f"{bridge}.linear_hidden.1.{n}"]
        for n in ("weight", "bias", "running_mean", "running_var")
    )
    hidden = functional.relu((hidden - mean) * (variance + 1e-5).rsqrt() * scale + shift)
    return x, dense(f"{bridge}.linear_out", hidden)
