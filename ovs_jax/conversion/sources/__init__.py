"""The kinds of published checkpoints, one file each."""

from collections.abc import Collection, Mapping

from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources import (
    bert,
    clip,
    clip_hf,
    dino,
    groupvit,
    groupvit_hf,
    ovsegmentor,
    resnet,
    resnet_detectron,
    roberta,
    timm_vit,
    vit_hf,
    zegformer,
)
from ovs_jax.mapping import lookup

_ALL = (
    groupvit, groupvit_hf, ovsegmentor, zegformer, dino, bert, roberta, clip, clip_hf, timm_vit,
    vit_hf, resnet, resnet_detectron,
)  # fmt: skip
SOURCES: Mapping[str, Source] = {module.SOURCE.name: module.SOURCE for module in _ALL}
"""Every kind by its name."""
_FORMS = {
    "clip": "clip-hf", "dino": "vit-hf", "timm-vit": "vit-hf", "groupvit": "groupvit-hf",
    "resnet": "resnet-detectron",
}  # fmt: skip
"""What the same model is called where its names are Hugging Face's or detectron2's."""


def source_of(name: str, names: Collection[str]) -> Source:
    """The kind that a name means for a checkpoint; the other form of it is found by itself.

    Args:
      name: one of `SOURCES`.
      names: of the checkpoint's arrays.

    Raises:
      ValueError: an unknown name; the nearest is suggested.
    """
    found = lookup(SOURCES, name, what="source")
    form = SOURCES[_FORMS[name]] if name in _FORMS else found
    return form if looks_like(form, names) else found


def looks_like(source: Source, names: Collection[str]) -> bool:
    """Whether a checkpoint has the names of a kind."""
    return any(prefix + source.marker in names for prefix in source.prefixes)
