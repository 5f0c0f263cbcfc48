"""What ``ovs-jax evaluate`` can judge: each task reads its options and opens its data."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from ovs_jax.cli.mask_options import change_defaults, changed
from ovs_jax.conversion.zoo import find
from ovs_jax.data.benchmarks import BENCHMARKS, open_benchmark, open_labelled_folders
from ovs_jax.data.records import Source
from ovs_jax.data.sources import open_image_text
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.world import SyntheticWorld
from ovs_jax.evaluation import evaluator, whole_images
from ovs_jax.evaluation.classification import ClassificationProtocol, classify
from ovs_jax.evaluation.gallery import draw_gallery
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.protocols import PRESETS, Protocol, protocol, synthetic_protocol
from ovs_jax.evaluation.refinement import Pamr
from ovs_jax.evaluation.report import Report
from ovs_jax.evaluation.retrieval import RetrievalProtocol, retrieve
from ovs_jax.evaluation.segmentation import png
from ovs_jax.evaluation.segmenter import AnyProtocol, Segmenter
from ovs_jax.evaluation.sweep import parse_range
from ovs_jax.evaluation.whole_images import CenterCrop
from ovs_jax.evaluation.zero_shot import (
    ZERO_SHOT_PRESETS,
    ZeroShotProtocol,
    zero_shot_protocol,
)
from ovs_jax.evaluation.zero_shot_world import world_protocol
from ovs_jax.mapping import from_mapping, lookup
from ovs_jax.text.class_sets import imagenet_names
from ovs_jax.text.class_splits import read_class_split
from ovs_jax.text.prompts import templates
from ovs_jax.training.checkpoint import peek
from ovs_jax.training.labelled_config import LabelledDataConfig

SYNTHETIC_SCENES = 500
NOT_PUBLISHED = "synthetic"
"""The preset of the synthetic world."""


class Task(ABC):
    """A task with its data, ready to judge a model."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.options = arguments

    @abstractmethod
    def score(self, segmenter: Segmenter) -> Report:
        """Judges a model."""

    def pictures(self, segmenter: Segmenter, report: Any) -> dict[str, bytes]:
        """Files to put beside the report, by name."""
        return {}

    def limits(self, batch_size: int) -> dict[str, Any]:
        """How many images to take, and how many at a time."""
        return {
            "limit": self.options.limit,
            "batch_size": self.options.batch_size or batch_size,
        }


class Segmentation(Task):
    """A class for every pixel.

    Raises:
      ValueError: the options do not fit together, or the data cannot be used.
      FileNotFoundError: a file or folder is missing.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        _refuse(arguments, "prompts", "belongs to classification; a protocol has its own")
        self.thresholds = _range(arguments.sweep_background, "--sweep-background")
        self.gammas = _range(arguments.sweep_calibration, "--sweep-calibration")
        self.source, self.protocol = open_segmentation(arguments)
        if self.thresholds and self.protocol.background is None:
            raise ValueError(
                f"--sweep-background: class list '{self.protocol.classes.name}' has no background"
            )

    def score(self, segmenter: Segmenter) -> Report:
        """The scores of all classes."""
        change_defaults(segmenter, self.options)
        return evaluator.evaluate(
            segmenter,
            self.source,
            self.protocol,
            thresholds=self.thresholds,
            gammas=self.gammas,
            limit=self.options.limit,
            batch_size=self.options.batch_size,
        )

    def pictures(self, segmenter: Segmenter, report: Any) -> dict[str, bytes]:
        """A page of scenes."""
        count = min(self.options.scenes, report.images)
        if count < 1:
            return {}
        indices = [i * report.images // count for i in range(count)]
        page = draw_gallery(segmenter, self.source, self.protocol, indices=indices)
        return {"scenes.png": png(Image.fromarray(page))}


class Classification(Task):
    """A class for every image of ImageNet.

    Raises:
      ValueError: the options do not fit together, or the data cannot be used.
      FileNotFoundError: a file or folder is missing.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        for field in ("preset", *_ONLY_SEGMENTATION):
            _refuse(arguments, field, "belongs to segmentation")
        dataset = arguments.dataset or "imagenet"
        if dataset != "imagenet":
            raise ValueError(f"--dataset: expected imagenet for classification, got '{dataset}'")
        if arguments.data is None:
            raise ValueError("--data: expected the folder of imagenet")
        self.prompts = arguments.prompts or "full"
        self.source = open_benchmark(dataset, arguments.data, split=arguments.split)

    def score(self, segmenter: Segmenter) -> Report:
        """Top-1 and top-5."""
        model = whole_image_model(segmenter)
        rules = ClassificationProtocol(
            class_list="imagenet",
            names=imagenet_names(),
            prompt_set=self.prompts,
            templates=templates(self.prompts),
            crop=CenterCrop.usual(model.image_size),
        )
        return classify(model, self.source, rules, **self.limits(whole_images.BATCH))


class Retrieval(Task):
    """The image of every caption, and the captions of every image.

    Raises:
      ValueError: the options do not fit together, or the data cannot be used.
      FileNotFoundError: a file or folder is missing.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        for field in ("dataset", "split", *_ONLY_SEGMENTATION):
            _refuse(arguments, field, "belongs to other tasks than retrieval")
        _refuse(arguments, "prompts", "belongs to classification")
        if arguments.preset not in (None, NOT_PUBLISHED):
            raise ValueError(
                f"--preset: expected {NOT_PUBLISHED} or nothing for retrieval, "
                f"got '{arguments.preset}'"
            )
        if (arguments.data is None) == (arguments.preset is None):
            raise ValueError(
                "data: expected either --data with images and captions, or --preset synthetic"
            )
        if arguments.data is None:
            self.source, self.name = open_world(arguments), NOT_PUBLISHED
        else:
            self.source, self.name = open_image_text(arguments.data), arguments.data.name

    def score(self, segmenter: Segmenter) -> Report:
        """R@1, R@5 and R@10 both ways."""
        model = whole_image_model(segmenter)
        side = model.image_size
        rules = RetrievalProtocol(self.name, CenterCrop(side, side))
        return retrieve(model, self.source, rules, **self.limits(whole_images.BATCH))


TASKS: dict[str, Callable[[argparse.Namespace], Task]] = {
    "segmentation": Segmentation,
    "classification": Classification,
    "retrieval": Retrieval,
}
_ONLY_SEGMENTATION = (
    "images", "labels", "refine", "sweep_background", "sweep_calibration", "background", "fusion",
    "look", "gamma", "seen_exponent", "unseen_exponent",
)  # fmt: skip


def _range(text: str | None, option: str) -> tuple[float, ...]:
    return () if text is None else parse_range(text, option=option)


def whole_image_model(segmenter: Segmenter) -> GroupSegmenter:
    """The segmenter, if its model embeds whole images and texts.

    Raises:
      ValueError: it does not.
    """
    if not isinstance(segmenter, GroupSegmenter):
        raise ValueError(
            "--task: classification and retrieval take a model of images and captions (groupvit or "
            "ovsegmentor); this one finds masks and is judged by segmentation"
        )
    return segmenter


def _refuse(arguments: argparse.Namespace, field: str, why: str) -> None:
    if getattr(arguments, field) is not None:
        raise ValueError(f"--{field.replace('_', '-')}: {why}")


def open_segmentation(arguments: argparse.Namespace) -> tuple[Source, AnyProtocol]:
    """The labelled images that the options name, and the protocol to judge them by.

    Raises:
      ValueError: the options do not fit together.
      FileNotFoundError: a file or folder is missing.
    """
    if arguments.preset == NOT_PUBLISHED:
        return _open_synthetic(arguments, Pamr() if arguments.refine else None)
    _refuse(
        arguments, "background", "belongs to the synthetic preset; a published protocol has its own"
    )
    preset = arguments.preset or "ovsegmentor"
    zero_shot = preset in ZERO_SHOT_PRESETS
    dataset, rules = (_zero_shot if zero_shot else _grouping)(preset, arguments)
    pair = (arguments.images, arguments.labels)
    if (arguments.data is None) == (None in pair) or (arguments.data and any(pair)):
        raise ValueError(
            "data: expected either --data with the folder of a benchmark, or both --images and "
            "--labels"
        )
    if arguments.data is not None:
        return open_benchmark(dataset, arguments.data, split=arguments.split), rules
    _refuse(arguments, "split", "belongs to --data; two folders are taken whole")
    return open_labelled_folders(*pair), rules


def _grouping(preset: str, arguments: argparse.Namespace) -> tuple[str, Protocol]:
    dataset = arguments.dataset or "voc21"
    if dataset in BENCHMARKS:
        dataset = BENCHMARKS[dataset].views[0].name
    known = {**PRESETS, **dict.fromkeys(ZERO_SHOT_PRESETS)}
    lookup(known, preset, what="protocol preset")
    return dataset, protocol(preset, dataset, refinement=Pamr() if arguments.refine else None)


def _zero_shot(preset: str, arguments: argparse.Namespace) -> tuple[str, ZeroShotProtocol]:
    """A published protocol of seen and unseen classes, or one for classes of a file."""
    for field in ("refine", "sweep_background"):
        _refuse(arguments, field, f"belongs to groups of pixels; preset '{preset}' has masks")
    dataset = arguments.dataset or "coco_stuff"
    if dataset.endswith(".json"):
        if arguments.data is not None:
            raise ValueError(
                f"--data: classes of a file ({dataset}) are judged on --images and --labels"
            )
        rules = ZeroShotProtocol(preset, read_class_split(dataset))
    else:
        rules = zero_shot_protocol(preset, dataset)
    return rules.split.name, changed(rules, arguments)


def open_world(arguments: argparse.Namespace) -> SyntheticWorld:
    """Held-out scenes of the synthetic world."""
    length = arguments.limit or SYNTHETIC_SCENES
    return SyntheticWorld(WorldConfig(size=arguments.size), split="validation", length=length)


def _open_synthetic(
    arguments: argparse.Namespace, refinement: Pamr | None
) -> tuple[Source, AnyProtocol]:
    kind = arguments.dataset
    if kind not in (None, "all", "objects", "zero_shot"):
        raise ValueError(
            "--dataset: expected 'all', 'objects' or, of a run on label maps, 'zero_shot' for "
            f"synthetic, got '{kind}'"
        )
    data = _labelled_world(arguments.checkpoint) if kind in (None, "zero_shot") else None
    if data is not None:
        return _open_trained_world(arguments, data)
    if kind == "zero_shot":
        raise ValueError(
            f"--dataset: 'zero_shot' takes a run on label maps of the synthetic world, which "
            f"{arguments.checkpoint} is not"
        )
    source = open_world(arguments).segmentation(kind or "all")
    return source, synthetic_protocol(
        source.class_set,
        size=arguments.size,
        background=arguments.background,
        refinement=refinement,
    )


def _labelled_world(path: Path) -> LabelledDataConfig | None:
    """The data of a run on label maps of the synthetic world; None of any other, or of none."""
    metadata = peek(find(path))
    data = metadata["config"]["data"] if metadata else {}
    if "kind" not in data or data["kind"] != "labelled" or data["source"] != NOT_PUBLISHED:
        return None
    return from_mapping(LabelledDataConfig, data, where=f"checkpoint {path}, data")


def _open_trained_world(
    arguments: argparse.Namespace, data: LabelledDataConfig
) -> tuple[Source, ZeroShotProtocol]:
    """Held-out scenes of the world that a model was trained on, with its unseen classes."""
    for field in ("refine", "background", "sweep_background"):
        _refuse(arguments, field, "belongs to groups of pixels; this model finds masks")
    length = arguments.limit or SYNTHETIC_SCENES
    world = SyntheticWorld(data.world, split="validation", seed=data.world_seed, length=length)
    rules = world_protocol(data.class_split(), size=data.recipe.size)
    return world.segmentation(), changed(
        replace(rules, templates=templates(data.prompts)), arguments
    )
