"""Models by name: presets, builders and a JSON form that travels with checkpoints."""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any

from flax import nnx

from ovs_jax.models.groupvit import config as groupvit
from ovs_jax.models.groupvit.model import GroupViT
from ovs_jax.models.ovsegmentor import config as ovsegmentor
from ovs_jax.models.ovsegmentor.model import OVSegmentor

ModelConfig = groupvit.GroupViTConfig | ovsegmentor.OVSegmentorConfig

_KINDS: dict[str, tuple[type, Mapping[str, Any], Callable[..., nnx.Module]]] = {
    "groupvit": (groupvit.GroupViTConfig, groupvit.PRESETS, GroupViT),
    "ovsegmentor": (ovsegmentor.OVSegmentorConfig, ovsegmentor.PRESETS, OVSegmentor),
}


def model_config(
    name: str, preset: str, *, overrides: Mapping[str, Any] | None = None
) -> ModelConfig:
    """A preset with some fields replaced.

    Args:
      name: ``groupvit`` or ``ovsegmentor``.
      preset: one of the model's presets.
      overrides: a nested dict of fields, ``{"encoder": {"drop_path": 0.0}}``.

    Raises:
      ValueError: an unknown name, preset or field; the message suggests the nearest.
    """
    presets = _lookup(_KINDS, name, "model.name")[1]
    return _override(_lookup(presets, preset, f"preset of {name}"), overrides or {}, "model")


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
    """The inverse of `to_dict`.

    Raises:
      ValueError: an unknown name or field, or a value that the model refuses.
    """
    rest = dict(values)
    kind = _lookup(_KINDS, rest.pop("name", ""), "model.name")[0]
    return _override(kind(), rest, "model")


def _override(config: Any, values: Mapping[str, Any], where: str) -> Any:
    known = {field.name: field for field in fields(config)}
    hints = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for name, value in values.items():
        _lookup(known, name, f"field of {where}")
        current = getattr(config, name)
        if is_dataclass(current):
            changes[name] = _override(current, value, f"{where}.{name}")
        else:
            changes[name] = _typed(value, current, hints[name], f"{where}.{name}")
    return replace(config, **changes)


def _typed(value: Any, current: Any, hint: Any, where: str) -> Any:
    if isinstance(current, tuple) and isinstance(value, list | tuple):
        return tuple(int(item) for item in value)
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise ValueError(f"{where}: got {value!r}, expected one of {typing.get_args(hint)}")
    elif not isinstance(hint, types.GenericAlias) and type(value) is not type(current):
        raise ValueError(f"{where}: got {value!r}, expected a {type(current).__name__}")
    return value


def _lookup(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"{what}: unknown '{name}', expected one of {sorted(known)}{hint}")
    return known[name]
