"""Class lists of the published evaluations, with the names exactly as those evaluations spell
them.
"""

from ovs_jax.text.assets import asset_json
from ovs_jax.typing import ClassSet


def class_set_names() -> tuple[str, ...]:
    """The names that `class_set` knows."""
    return tuple(asset_json("class_sets.json"))


def class_set(name: str) -> ClassSet:
    """One published class list.

    A list whose first name is ``background`` has label 0 as background. The names are used in
    prompts as they
    stand: ``ade150`` keeps the trailing blank of ``"bed "`` because the published scores were made
      with it.

    Args:
      name: ``voc21``, ``voc20``, ``context60``, ``context59``, ``coco_object81``,
        ``coco_stuff171``, ``coco_stuff_ovsegmentor``, ``ade150``, ``ade847`` or ``cityscapes19``.

    Returns:
      The class list; label id ``i`` is ``names[i]``.

    Raises:
      ValueError: the name is unknown.
    """
    lists = asset_json("class_sets.json")
    if name not in lists:
        raise ValueError(f"class list '{name}' is unknown; expected one of {sorted(lists)}")
    names = tuple(lists[name])
    return ClassSet(name, names, has_background=names[0] == "background")


def imagenet_synsets() -> tuple[str, ...]:
    """The 1000 synsets of ImageNet (ILSVRC 2012), alphabetically: the order of its classes."""
    return tuple(asset_json("imagenet.json"))


def imagenet_names() -> tuple[str, ...]:
    """The name of every class of ImageNet, as zero-shot classification words it.

    Two pairs of classes share a name (missile, sunglasses), so that it is no `ClassSet`.
    """
    return tuple(asset_json("imagenet.json").values())
