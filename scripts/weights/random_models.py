"""Random weights of every kind that can be converted, in the form in which it is published.

Original checkpoints need no torch; Hugging Face folders are built and saved by transformers.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.conversion.export import to_names
from ovs_jax.conversion.files import write_safetensors
from ovs_jax.conversion.sources import SOURCES
from ovs_jax.conversion.sources.groupvit_hf import to_settings
from ovs_jax.models import registry
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.models.ovsegmentor.config import OVSegmentorConfig
from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.text import BERT_BASE, ROBERTA_BASE, TextConfig
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.models.zegformer.config import (
    PixelDecoderConfig,
    TransformerConfig,
    ZegFormerConfig,
)
from ovs_jax.nn import functional
from ovs_jax.nn.resnet import ResNetConfig

_TEXT = TextConfig(vocabulary=300, length=16, width=64, depth=1, heads=1, hidden=128)
_BERT = replace(_TEXT, kind="bert", length=40, depth=2, dropout=0.1)
_ENCODER = EncoderConfig(
    image_size=64, patch_size=16, width=128, depths=(2, 1, 1), heads=(2, 2, 2),
    group_tokens=(8, 4, 0), output_groups=(8, 4),
)  # fmt: skip
_PROJECTOR = ProjectorConfig(hidden=64, outputs=32)
_VIT = VisionConfig(image_size=64, patch_size=16, width=128, depth=2, heads=2, hidden=512)
_CLIP_VIT = replace(_VIT, activation="quick_gelu", eps=1e-5, pre_norm=True, patch_bias=False)
_RESNET = ResNetConfig(stem=16, width=8, blocks=(1, 2, 1, 1))

SMALL: dict[str, registry.AnyConfig] = {
    "groupvit": GroupViTConfig(_ENCODER, _TEXT, _PROJECTOR),
    "groupvit-hf": GroupViTConfig(_ENCODER, _TEXT, _PROJECTOR, multi_label=False),
    "ovsegmentor": OVSegmentorConfig(
        replace(
            _ENCODER, depths=(2, 2), heads=(8, 8), group_tokens=(8, 0), output_groups=(4,),
            patch_norm=False,
        ),
        _BERT,
        _PROJECTOR,
    ),
    "dino": _VIT,
    "timm-vit": replace(_VIT, patch_size=8),
    "vit-hf": _VIT,
    "bert": _BERT,
    "roberta": replace(_BERT, kind="roberta"),
    "clip": ClipConfig(_CLIP_VIT, _TEXT, 32),
    "clip-hf": ClipConfig(_CLIP_VIT, _TEXT, 32),
    "resnet": _RESNET,
    "resnet-detectron": _RESNET,
    "zegformer": ZegFormerConfig(
        _RESNET,
        PixelDecoderConfig(width=32, outputs=32),
        TransformerConfig(
            queries=9, width=32, hidden=64, encoder_layers=1, decoder_layers=2, dropout=0.0,
            pre_norm=True,
        ),
        embedding=32,
    ),
}  # fmt: skip
"""Sizes for tests."""
_VIT_SMALL = VisionConfig(width=384, heads=6, hidden=1536)
FULL: dict[str, tuple[str, registry.AnyConfig]] = {
    "GroupViT ViT-S": ("groupvit", GroupViTConfig()),
    "GroupViT ViT-S, Hugging Face": ("groupvit-hf", GroupViTConfig(multi_label=False)),
    "OVSegmentor ViT-B + BERT, stage 1": ("ovsegmentor", OVSegmentorConfig()),
    "OVSegmentor ViT-B + BERT, stage 2": ("ovsegmentor", OVSegmentorConfig(momentum=True)),
    "OVSegmentor ViT-S + RoBERTa": (
        "ovsegmentor",
        OVSegmentorConfig(
            encoder=replace(OVSegmentorConfig().encoder, width=384), text=ROBERTA_BASE
        ),
    ),
    "DINO ViT-S/16": ("dino", _VIT_SMALL),
    "DINO ViT-B/16": ("dino", VisionConfig()),
    "DINO ViT-B/8": ("dino", VisionConfig(patch_size=8)),
    "DINO ViT-B/16, Hugging Face": ("vit-hf", VisionConfig()),
    "ImageNet ViT-B/16": ("timm-vit", VisionConfig()),
    "BERT-base": ("bert", BERT_BASE),
    "RoBERTa-base": ("roberta", ROBERTA_BASE),
    "CLIP ViT-B/16": ("clip", ClipConfig()),
    "CLIP ViT-B/16, Hugging Face": ("clip-hf", ClipConfig()),
}
"""Published sizes."""


def make(source: str, config: registry.AnyConfig, folder: Path, *, seed: int = 0) -> Path:
    """Writes random weights as a publisher would; gives the file, or the Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if SOURCES[source].folder:
        library_model(source, config, seed=seed).save_pretrained(folder)
        return folder
    path = folder / f"{source}.safetensors"
    write_safetensors(path, original_state(source, config, seed=seed))
    return path


def draw(config: registry.AnyConfig, *, seed: int = 0) -> functional.Tree:
    """Weights of ours at which no layer is idle: norms, biases and statistics are perturbed too."""
    _, params, stats = registry.shapes(config)
    random = np.random.default_rng(seed)

    def values(path: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = random.standard_normal(shape, np.float32)
        name = path.rsplit("/", 1)[-1]
        if name == "logit_scale" or name == "multi_label_logit_scale":
            return np.full(shape, np.log(1 / 0.07), np.float32)
        if name == "kernel":
            return noise * np.float32(1.3 * math.prod(shape[:-1]) ** -0.5)
        if name == "scale":
            return 1 + 0.1 * noise
        if name == "variance":
            return 0.5 + random.random(shape, np.float32)
        return np.float32(0.1 if name in ("bias", "mean") else 0.5) * noise

    def tree(shapes: functional.Tree) -> functional.Tree:
        flat = functional.paths(shapes).items()
        return functional.nest({path: values(path, leaf.shape) for path, leaf in flat})

    return {"params": tree(params), "stats": tree(stats)}


def original_state(
    source: str, config: registry.AnyConfig, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Random weights under original names, with what the published code holds but never uses."""
    state, _ = to_names(SOURCES[source], draw(config, seed=seed))
    return state | _unused(source, config)


def _unused(source: str, config: registry.AnyConfig) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)

    def dense(name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
        weight = random.standard_normal((outputs, inputs), np.float32)
        return {f"{name}.weight": weight, f"{name}.bias": np.ones(outputs, np.float32)}

    if isinstance(config, OVSegmentorConfig):
        found = {"logit_scale_mask": np.asarray(2.5, np.float32)}
        text = "text_encoder.transformer"
        found |= dense(f"{text}.pooler.dense", config.text.width, config.text.width)
        found[f"{text}.embeddings.position_ids"] = np.arange(config.text.length)[None]
        width = min(config.encoder.width, config.text.width)
        for layer in range(config.decoder_layers):
            for part in ("q_proj", "k_proj", "v_proj", "proj"):
                found |= dense(
                    f"multimodal_groupingblock.blocks.{layer}.assign.{part}", width, width
                )
        return found
    if source == "timm-vit" and isinstance(config, VisionConfig):
        return dense("head", 10, config.width)
    if source.startswith("resnet"):
        return dense("fc" if source == "resnet" else "stem.fc", 10, 8 * config.width)
    if source == "zegformer":
        return {
            "criterion.empty_weight": np.ones(16, np.float32),  # 15 classes, and no object
            "pixel_mean": np.ones((3, 1, 1), np.float32),
            "sem_seg_head.predictor.clip_model.visual.proj": np.ones((2, 2), np.float16),
        }
    if source == "clip" and isinstance(config, ClipConfig):
        return {
            "input_resolution": np.asarray(config.image.image_size),
            "context_length": np.asarray(config.text.length),
            "vocab_size": np.asarray(config.text.vocabulary),
        }
    return {}


def library_model(source: str, config: Any, *, seed: int = 0) -> Any:
    """A random model of transformers."""
    import torch
    import transformers

    torch.manual_seed(seed)
    match source:
        case "groupvit-hf":
            settings = to_settings(config, end_id=config.text.vocabulary - 1)
            model = transformers.GroupViTModel(transformers.GroupViTConfig(**settings))
        case "clip-hf":
            image, text = config.image, config.text
            model = transformers.CLIPModel(transformers.CLIPConfig(
                projection_dim=config.embedding,
                vision_config={**_transformer(image), "image_size": image.image_size,
                               "patch_size": image.patch_size},
                text_config={**_transformer(text), "vocab_size": text.vocabulary,
                             "max_position_embeddings": text.length,
                             "bos_token_id": text.vocabulary - 2,
                             "eos_token_id": text.vocabulary - 1},
            ))  # fmt: skip
        case "vit-hf":
            model = transformers.ViTModel(transformers.ViTConfig(
                **_transformer(config), image_size=config.image_size,
                patch_size=config.patch_size, layer_norm_eps=config.eps,
            ))  # fmt: skip
        case "bert":
            model = transformers.BertModel(transformers.BertConfig(
                **_transformer(config), vocab_size=config.vocabulary,
                max_position_embeddings=config.length,
            ))  # fmt: skip
        case "roberta":
            model = transformers.RobertaModel(transformers.RobertaConfig(
                **_transformer(config), vocab_size=config.vocabulary, layer_norm_eps=1e-5,
                max_position_embeddings=config.length + 2, type_vocab_size=1,
            ))  # fmt: skip
        case _:
            raise ValueError(f"source: got {source}, expected one of Hugging Face's")
    return _perturbed(model)


def _transformer(config: Any) -> dict[str, int]:
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
    }


def _perturbed(model: Any) -> Any:
    """Every array drawn anew as in `draw`."""
    import torch

    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype != torch.float32:
                continue
            noise = torch.randn_like(tensor)
            if name == "logit_scale":
                continue
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand_like(tensor))
            elif ("embedding" in name and "projection" not in name) or "token" in name:
                tensor.copy_(0.5 * noise)
            elif tensor.ndim >= 2:
                tensor.copy_(noise * 1.3 * tensor[0].numel() ** -0.5)
            elif name.endswith("weight"):
                tensor.copy_(1 + 0.1 * noise)
            else:
                tensor.copy_(0.1 * noise)
    return model.eval()


def spread(
    model: Any, vision: Any, pixels: np.ndarray, texts: tuple[np.ndarray, np.ndarray]
) -> Any:
    """Makes a random GroupViT of transformers tell parts of a photo, and words, apart.

    Random layers bring all keys, all groups and all texts close to one direction; then every pixel
    has one group and one class. What is common is taken away: from the keys of the assignments by
    their bias, from the projections by the statistics of their BatchNorm and the last bias.

    Args:
      model: changed in place.
      vision: the same model for images of the size of ``pixels``; its keys are changed too.
      pixels: normalised windows of the photo that will be segmented, n h w 3.
      texts: token ids and their mask.
    """
    import torch

    model.eval()
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    ids, mask = torch.from_numpy(texts[0]).long(), torch.from_numpy(texts[1]).int()
    modules = dict(model.named_modules())
    with torch.no_grad():
        for name, layer in vision.named_modules():
            if not name.endswith("assign.k_proj"):
                continue
            keys: list[Any] = []
            hook = layer.register_forward_hook(lambda *found, to=keys: to.append(found[-1]))
            vision.vision_model(pixel_values=images)
            hook.remove()
            layer.bias.sub_(keys[0].flatten(0, -2).mean(0))
            modules[name].bias.copy_(layer.bias)
        groups = vision.vision_model(pixel_values=images).last_hidden_state
        words = model.text_model(input_ids=ids, attention_mask=mask).pooler_output
        inputs = {model.visual_projection: groups.flatten(0, 1), model.text_projection: words}
        for head, x in inputs.items():
            hidden = head[0](x)
            head[1].running_mean.copy_(hidden.mean(0))
            head[1].running_var.copy_(hidden.var(0))
            head[3].bias.copy_(head[3].bias - head(x).mean(0))
    return model
