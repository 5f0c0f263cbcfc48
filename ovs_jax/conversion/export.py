"""From our form to published ones."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ovs_jax.conversion.files import SETTINGS, write_safetensors
from ovs_jax.conversion.rules import ConversionError, Rule, to_foreign
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources import groupvit, groupvit_hf, ovsegmentor, zegformer
from ovs_jax.models import registry
from ovs_jax.models.groupvit.config import GroupViTConfig
from ovs_jax.models.ovsegmentor.config import OVSegmentorConfig
from ovs_jax.models.zegformer.config import ZegFormerConfig
from ovs_jax.nn import functional

_COUNTER = ".num_batches_tracked"


def to_names(
    source: Source, weights: functional.Tree
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Gives weights the names of a published form.

    Args:
      source: the form.
      weights: ``{"params", "stats"}``.

    Returns:
      Foreign names and arrays, and what the form has no place for, with the reason.

    Raises:
      ConversionError: a path that the form does not know.
    """
    dropped: dict[str, str] = {}
    state: dict[str, np.ndarray] = {}
    for tree in weights.values():
        kept = {}
        for path, leaf in functional.paths(tree).items():
            reason = next((r for pattern, r in source.absent if re.fullmatch(pattern, path)), None)
            if reason is None:
                kept[path] = leaf
            else:
                dropped[path] = reason
        state |= to_foreign(functional.nest(kept), source.rules)
    return state | _counters(source.rules, state), dropped


def _counters(rules: Sequence[Rule], state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The counters of BatchNorm, which nothing reads but torch expects to find."""
    names = [rule.foreign for rule in rules if rule.foreign.endswith(_COUNTER)]
    beside = {name: name.removesuffix(_COUNTER) + ".running_mean" for name in names}
    return {name: np.zeros((), np.int64) for name, mean in beside.items() if mean in state}


def to_original(
    config: registry.AnyConfig, weights: functional.Tree
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Gives a GroupViT, OVSegmentor or ZegFormer of ours the names of the original checkpoints.

    Arrays that the published code holds without using them are not made up. Returns and raises as
    `to_names`.

    Raises:
      ConversionError: the model has parts that the originals do not know.
      ValueError: another kind of model.
    """
    if isinstance(config, GroupViTConfig):
        return to_names(groupvit.SOURCE, weights)
    if isinstance(config, OVSegmentorConfig):
        return to_names(ovsegmentor.SOURCE, weights)
    if isinstance(config, ZegFormerConfig):
        return to_names(zegformer.SOURCE, weights)
    raise ValueError(
        f"model '{registry.model_name(config)}': an encoder is exported under the names it came "
        "with, and no record of a conversion is beside it"
    )


def write_groupvit_hf(
    folder: Path, config: registry.AnyConfig, weights: functional.Tree, *, end_id: int | None
) -> dict[str, str]:
    """Writes a GroupViT as a Hugging Face folder: ``config.json`` and ``model.safetensors``.

    Args:
      folder: made if missing.
      config: the model's.
      weights: ``{"params", "stats"}``.
      end_id: id of the end-of-text token; None for the last of the vocabulary, as in CLIP's.

    Returns:
      What the form has no place for, with the reason.

    Raises:
      ConversionError: the model has choices that the form cannot express.
    """
    if not isinstance(config, GroupViTConfig):
        raise ConversionError(
            f"model: got '{registry.model_name(config)}', expected groupvit: the Hugging Face form "
            "has no other"
        )
    end = config.text.vocabulary - 1 if end_id is None else end_id
    settings = groupvit_hf.to_settings(config, end_id=end)
    state, dropped = to_names(groupvit_hf.SOURCE, weights)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    write_safetensors(folder / "model.safetensors", state)
    return dropped
