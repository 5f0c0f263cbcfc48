"""Models by name: presets, builders and a JSON form that travels with checkpoints.

Besides the models that segment there are encoders alone (a vision transformer, a text transformer,
CLIP, a residual network): what training may start from.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from flax import nnx

from ovs_jax.mapping import from_mapping, lookup, override
from ovs_jax.models.groupvit import config as groupvit
from ovs_jax.models.groupvit.model import GroupViT
from ovs_jax.models.ovsegmentor import config as ovsegmentor
from ovs_jax.models.ovsegmentor.model import OVSegmentor
from ovs_jax.models.text import TextConfig, text_encoder
from ovs_jax.models.vision.clip import Clip
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.models.vision.vit import VisionTransformer
from ovs_jax.models.zegformer import config as zegformer
from ovs_jax.models.zegformer.baseline import PixelBaseline
from ovs_jax.models.zegformer.model import ZegFormer
from ovs_jax.nn import functional
from ovs_jax.nn.resnet import ResNet, ResNetConfig

CaptionModelConfig = groupvit.GroupViTConfig | ovsegmentor.OVSegmentorConfig
"""Models that learn from captions."""
MaskModelConfig = zegformer.ZegFormerConfig | zegformer.PixelBaselineConfig
"""Models that learn from masks, with text embeddings given."""
ModelConfig = CaptionModelConfig | MaskModelConfig
"""Models that segment."""
EncoderConfig = VisionConfig | TextConfig | ClipConfig | ResNetConfig
"""Encoders alone."""
AnyConfig = ModelConfig | EncoderConfig

_KINDS: dict[str, tuple[type, Mapping[str, Any], Callable[..., nnx.Module]]] = {
    "groupvit": (groupvit.GroupViTConfig, groupvit.PRESETS, GroupViT),
    "ovsegmentor": (ovsegmentor.OVSegmentorConfig, ovsegmentor.PRESETS, OVSegmentor),
    "zegformer": (zegformer.ZegFormerConfig, zegformer.PRESETS, ZegFormer),
    "zegformer_baseline": (
        zegformer.PixelBaselineConfig,
        zegformer.BASELINE_PRESETS,
        PixelBaseline,
    ),
}
_ENCODERS: dict[str, tuple[type, Callable[..., nnx.Module]]] = {
    "vision_transformer": (VisionConfig, VisionTransformer),
    "text_transformer": (TextConfig, text_encoder),
    "clip": (ClipConfig, Clip),
    "resnet": (ResNetConfig, ResNet),
}


def wrong_kind(config: Any, wanted: Any, *, field: str, learns_from: str) -> ValueError:
    """The error of a model that does not learn from what is there; names those that do.

    Args:
      config: the model's.
      wanted: the configs that fit, such as `CaptionModelConfig`.
      field: what to call it in the message.
      learns_from: what is there.
    """
    names = [name for name, (kind, _, _) in _KINDS.items() if issubclass(kind, wanted)]
    return ValueError(
        f"{field}: '{model_name(config)}' does not learn from {learns_from}, expected "
        f"{' or '.join(names)}"
    )


def model_config(
    name: str, preset: str, *, overrides: Mapping[str, Any] | None = None
) -> ModelConfig:
    """A preset with some fields replaced.

    Args:
      name: ``groupvit``, ``ovsegmentor``, ``zegformer`` or ``zegformer_baseline``.
      preset: one of the model's presets.
      overrides: a nested dict of fields, ``{"encoder": {"drop_path": 0.0}}``.

    Returns:
      The model's config, for `build`.

    Raises:
      ValueError: an unknown name, preset or field (the message suggests the nearest), a value of
        another type, or sizes that do not fit each other.
    """
    presets = lookup(_KINDS, name, what="model.name")[1]
    config = lookup(presets, preset, what=f"preset of {name}")
    return override(config, overrides or {}, where="model")


def build(config: AnyConfig) -> Callable[[nnx.Rngs], nnx.Module]:
    """The function that makes the model, for `functional.init`."""
    name = model_name(config)
    model = _ENCODERS[name][1] if name in _ENCODERS else _KINDS[name][2]
    return lambda rngs: model(config, rngs=rngs)


@lru_cache(maxsize=8)
def shapes(config: AnyConfig) -> tuple[functional.Static, functional.Tree, functional.Tree]:
    """The model without values, as `functional.abstract` gives it; not to be changed."""
    return functional.abstract(build(config))


def model_name(config: AnyConfig) -> str:
    """The name under which a config's model is known."""
    kinds = {name: entry[0] for name, entry in (_KINDS | _ENCODERS).items()}
    return next(name for name, kind in kinds.items() if isinstance(config, kind))


def to_dict(config: AnyConfig) -> dict[str, Any]:
    """A config as JSON: the model's name and every field."""
    return {"name": model_name(config), **asdict(config)}


def from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The inverse of `to_dict`, also after a trip through JSON; absent fields take their defaults.

    Raises:
      ValueError: an unknown name or field, a value of another type or that the model refuses, or an
        encoder alone.
    """
    rest = dict(values)
    name = rest.pop("name", "")
    if name in _ENCODERS:
        raise ValueError(
            f"model.name: '{name}' is an encoder alone and cannot segment; expected one of "
            f"{sorted(_KINDS)}. Start training from it with init.checkpoint, init.image or "
            "init.text"
        )
    return from_mapping(lookup(_KINDS, name, what="model.name")[0], rest, where="model")


def encoder_from_dict(values: Mapping[str, Any]) -> EncoderConfig:
    """Like `from_dict`, for encoders alone.

    Raises:
      ValueError: as there, or a whole model.
    """
    rest = dict(values)
    kind = lookup(_ENCODERS, rest.pop("name", ""), what="model.name")[0]
    return from_mapping(kind, rest, where="model")


def any_from_dict(values: Mapping[str, Any]) -> AnyConfig:
    """Whole model or encoder: `from_dict` or `encoder_from_dict`, and raises as they do."""
    encoder = "name" in values and values["name"] in _ENCODERS
    return encoder_from_dict(values) if encoder else from_dict(values)
