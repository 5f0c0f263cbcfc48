"""Models by name: presets, builders and a JSON form that travels with checkpoints."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from flax import nnx

from ovs_jax.mapping import from_mapping, lookup, override
from ovs_jax.models.groupvit import config as groupvit
from ovs_jax.models.groupvit.model import GroupViT
from ovs_jax.models.ovsegmentor import config as ovsegmentor
from ovs_jax.models.ovsegmentor.model import OVSegmentor
from ovs_jax.models.zegformer import config as zegformer
from ovs_jax.models.zegformer.baseline import PixelBaseline
from ovs_jax.models.zegformer.model import ZegFormer

CaptionModelConfig = groupvit.GroupViTConfig | ovsegmentor.OVSegmentorConfig
"""Models that learn from captions."""
MaskModelConfig = zegformer.ZegFormerConfig | zegformer.PixelBaselineConfig
"""Models that learn from masks, with text embeddings given."""
ModelConfig = CaptionModelConfig | MaskModelConfig

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


def build(config: ModelConfig) -> Callable[[nnx.Rngs], nnx.Module]:
    """The function that makes the model, for `functional.init`."""
    model = _KINDS[model_name(config)][2]
    return lambda rngs: model(config, rngs=rngs)


def model_name(config: ModelConfig) -> str:
    """The name under which a config's model is known."""
    return next(name for name, (kind, _, _) in _KINDS.items() if isinstance(config, kind))


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """A config as JSON: the model's name and every field."""
    return {"name": model_name(config), **asdict(config)}


def from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The inverse of `to_dict`, also after a trip through JSON; absent fields take their defaults.

    Raises:
      ValueError: an unknown name or field, or a value of another type or that the model refuses.
    """
    rest = dict(values)
    kind = lookup(_KINDS, rest.pop("name", ""), what="model.name")[0]
    return from_mapping(kind, rest, where="model")
