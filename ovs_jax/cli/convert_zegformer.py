"""What ``ovs-jax convert zegformer`` asks besides weights: classes and texts are not in them."""

import argparse
from pathlib import Path

from ovs_jax.conversion.convert import Conversion
from ovs_jax.conversion.sources import zegformer
from ovs_jax.data.label_transforms import LabelRecipe
from ovs_jax.evaluation.zero_shot import zero_shot_protocol
from ovs_jax.models.zegformer.config import ZegFormerConfig
from ovs_jax.text.class_splits import class_split, split_names
from ovs_jax.text.prompts import TEMPLATE_SETS
from ovs_jax.training.class_text import load_clip
from ovs_jax.training.labelled_config import LabelledDataConfig

_OPTIONS = ("clip", "classes", "prompts")


def add_zegformer_options(parser: argparse.ArgumentParser) -> None:
    """Declares its options."""
    group = parser.add_argument_group("zegformer")
    group.add_argument(
        "--clip", type=Path, help="the folder of the converted CLIP that it reads class names with"
    )
    group.add_argument(
        "--classes",
        help=f"what it was trained with: {', '.join(split_names())} or a JSON file (default: the "
        "published classes of which there are as many)",
    )
    group.add_argument(
        "--prompts",
        choices=TEMPLATE_SETS,
        help="the prompts it was trained with (default: those published for its classes)",
    )


def labelled_data(
    conversion: Conversion, arguments: argparse.Namespace
) -> LabelledDataConfig | None:
    """What the classes and texts of a ZegFormer are, as a run's config has it; None for others.

    Raises:
      ValueError: there is no CLIP, it has another embedding, or the classes cannot be told.
      FileNotFoundError: a folder or file is missing.
    """
    config = conversion.config
    if not isinstance(config, ZegFormerConfig):
        given = [name for name in _OPTIONS if getattr(arguments, name) is not None]
        if given:
            raise ValueError(f"--{given[0]}: belongs to zegformer, got source {arguments.source}")
        return None
    if arguments.clip is None:
        raise ValueError(
            "--clip: expected the folder of the converted CLIP that the model reads class names "
            "with (published: ViT-B/16); ovs-jax convert clip makes it"
        )
    clip, wanted = load_clip(arguments.clip, field="--clip"), config.embedding
    if clip.width != wanted:
        raise ValueError(f"--clip: expected embeddings of {wanted} numbers, got {clip.width}")
    classes = arguments.classes or _published_classes(conversion)
    # Two of the three published data sets have the same sizes, which others take too.
    published = zero_shot_protocol(
        "zegformer", classes if classes in split_names() else "pascal_voc"
    )
    data = LabelledDataConfig(
        source=f"{conversion.source.name}:{arguments.file}",
        classes=str(Path(classes).absolute()) if classes.endswith(".json") else classes,
        text=str(arguments.clip.absolute()),
        prompts=arguments.prompts or ("scene" if classes == "pascal_voc" else "scene_subset"),
        recipe=LabelRecipe(size=published.short_side, longest=published.long_side),
    )
    data.class_split()
    return data


def _published_classes(conversion: Conversion) -> str:
    """The published division with as many seen classes as the model was trained with."""
    name = conversion.prefix + zegformer.CLASS_WEIGHTS
    seen = {len(class_split(split).seen): split for split in split_names()}
    count = len(conversion.unused[name]) - 1 if name in conversion.unused else None
    if count not in seen:
        told = "does not tell" if count is None else f"was trained with {count}"
        raise ValueError(
            f"--classes: expected the classes that the model was trained with, one of "
            f"{list(split_names())} or a JSON file; the checkpoint {told}, the published "
            f"divisions have {sorted(seen)}"
        )
    return seen[count]
