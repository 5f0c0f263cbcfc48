"""The kinds of published checkpoints, one file each."""

from collections.abc import Mapping
from pathlib import Path

from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources import (
    bert,
    clip,
    clip_hf,
    dino,
    groupvit,
    groupvit_hf,
    ovsegmentor,
    roberta,
    timm_vit,
    vit_hf,
)
from ovs_jax.mapping import lookup

_ALL = (
    groupvit, groupvit_hf, ovsegmentor, dino, bert, roberta, clip, clip_hf, timm_vit, vit_hf,
)  # fmt: skip
SOURCES: Mapping[str, Source] = {module.SOURCE.name: module.SOURCE for module in _ALL}
"""Every kind by its name."""
_FOLDERS = {"clip": "clip-hf", "dino": "vit-hf", "timm-vit": "vit-hf", "groupvit": "groupvit-hf"}


def source_of(name: str, path: Path) -> Source:
    """The kind that a name means for a path; a Hugging Face folder may be one of its own.

    Raises:
      ValueError: an unknown name; the nearest is suggested.
    """
    found = lookup(SOURCES, name, what="source")
    if not found.folder and path.is_dir() and name in _FOLDERS:
        return SOURCES[_FOLDERS[name]]
    return found
