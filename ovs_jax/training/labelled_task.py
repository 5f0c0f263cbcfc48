"""Learning from label maps: batches, objective and scores of a ZegFormer run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from ovs_jax.data.batches import LABEL_FIELDS
from ovs_jax.data.benchmarks import open_benchmark
from ovs_jax.data.benchmarks.folders import open_labelled_folders
from ovs_jax.data.labelled import labelled_batches
from ovs_jax.data.pipeline import PipelineConfig, TrainingBatches
from ovs_jax.data.records import Source
from ovs_jax.data.synthetic import SyntheticWorld
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.mask_segmenter import BoundModel, MaskSegmenter, PlainEmbedder
from ovs_jax.evaluation.pixel_segmenter import PixelSegmenter
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol, zero_shot_protocol
from ovs_jax.evaluation.zero_shot_world import world_protocol
from ovs_jax.models import registry
from ovs_jax.models.zegformer.config import PixelBaselineConfig
from ovs_jax.models.zegformer.model import STRIDE
from ovs_jax.text.class_splits import ClassSplit
from ovs_jax.text.prompts import templates
from ovs_jax.training.class_text import class_embedder
from ovs_jax.training.config import HELD_OUT, EvaluationConfig, RunConfig
from ovs_jax.training.labelled_config import SYNTHETIC, LabelledDataConfig
from ovs_jax.training.loop import Scores
from ovs_jax.training.mask_objective import LabelObjective
from ovs_jax.training.objectives import Objective
from ovs_jax.training.state import Plan, State


class LabelledTask:
    """Learning masks and their classes from label maps; see `experiment.Task`.

    Attributes:
      split: the classes, and which of them are trained.
      text: what class names are embedded with.
      unit: embeddings of the split's classes, of length one.
    """

    def __init__(self, config: RunConfig) -> None:
        """Embeds the classes.

        Raises:
          ValueError: model, objective and data do not fit each other.
          FileNotFoundError: the text encoder or a class list is missing.
        """
        data, objective = config.data, config.objective
        if not isinstance(data, LabelledDataConfig) or not isinstance(objective, LabelObjective):
            raise ValueError(
                "expected data.kind 'labelled' and objective.kind 'masks' or 'pixels', got "
                f"'{data.kind}' and '{objective.kind}'"
            )
        self._config, self._data = config, data
        self.tokenizer: dict[str, Any] = {}
        self.heads: tuple[int, ...] = ()
        model = mask_model(config)
        wanted = "pixels" if isinstance(model, PixelBaselineConfig) else "masks"
        if objective.kind != wanted:
            raise ValueError(
                f"objective.kind: expected '{wanted}' for model.name "
                f"'{registry.model_name(model)}', got '{objective.kind}'"
            )
        if data.recipe.size % STRIDE:
            raise ValueError(
                f"data.recipe.size: expected a multiple of {STRIDE} pixels, got {data.recipe.size}"
            )
        self.split = data.class_split()
        self.text = class_embedder(data.text)
        self.unit = self.text.embed_classes(
            self.split.classes.names, templates=templates(data.prompts)
        )
        if self.unit.shape[1] != model.embedding:
            raise ValueError(
                f"model.embedding: expected {self.unit.shape[1]}, the length of class embeddings "
                f"with data.text '{data.text}', got {model.embedding}"
            )
        seen = self.unit[list(self.split.seen)]
        self.objective: Objective = partial(objective, class_unit=seen)

    def open_batches(self) -> TrainingBatches:
        """This process's part of every batch.

        Raises:
          ValueError: the data do not fit the config.
          FileNotFoundError: they are missing.
        """
        config, data = self._config, self._data
        pipeline = PipelineConfig(
            batch_size=config.batch_size,
            image_size=data.recipe.size,
            text_length=2,  # of texts, which there are none of
            fields=("image", *LABEL_FIELDS),
            remember=data.remember,
            seed=config.seed,
            slices=data.slices,
            workers=data.workers,
            threads=data.threads,
            prefetch=data.prefetch,
            max_bad_share=data.max_bad_share,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return labelled_batches(
            open_source(data),
            self.split,
            pipeline,
            recipe=data.recipe,
            ignore_label=data.ignore_label,
            most_classes=data.most_classes,
        )

    def scorer(self, plan: Plan) -> Callable[[State], Scores] | None:
        """Scores a state by the harmonic mean of seen and unseen classes, or None."""
        found = open_judged(self._config.evaluation, self._data, self.split)
        if found is None:
            return None
        source, rules = found
        # Embedded once, not at every evaluation.
        unit = self.text.embed_classes(rules.split.classes.names, templates=rules.templates)
        return partial(
            _score,
            plan=plan,
            source=source,
            rules=rules,
            kind=segmenter_kind(mask_model(self._config)),
            text=PlainEmbedder(lambda names: unit),
            limit=self._config.evaluation.limit or None,
        )


def mask_model(config: RunConfig) -> registry.MaskModelConfig:
    """The config of the run's model.

    Raises:
      ValueError: it is of a model that does not learn from masks.
    """
    model = registry.from_dict(config.model)
    if not isinstance(model, registry.MaskModelConfig):
        raise ValueError(
            f"model.name: '{registry.model_name(model)}' does not learn from masks, expected "
            "zegformer or zegformer_baseline"
        )
    return model


def segmenter_kind(model: registry.MaskModelConfig) -> type[MaskSegmenter]:
    """What such a model segments with."""
    return PixelSegmenter if isinstance(model, PixelBaselineConfig) else MaskSegmenter


def open_source(data: LabelledDataConfig) -> Source:
    """Training images with label maps.

    Raises:
      ValueError: the benchmark is unknown, or holds nothing that can be used.
      FileNotFoundError: a folder is missing.
    """
    if data.source == SYNTHETIC:
        world = SyntheticWorld(data.world, seed=data.world_seed, length=data.world_length)
        return world.segmentation()
    if data.dataset:
        return open_benchmark(data.dataset, data.source, split=data.split)
    return open_labelled_folders(Path(data.source, "images"), Path(data.source, "labels"))


def open_judged(
    config: EvaluationConfig, data: LabelledDataConfig, split: ClassSplit
) -> tuple[Source, ZeroShotProtocol] | None:
    """Labelled images and the protocol to judge by, the segment branch alone; None for none.

    Raises:
      ValueError: an unknown protocol, or no folder for it.
      FileNotFoundError: the benchmark is missing.
    """
    if config.source == "none":
        return None
    if config.source == "benchmark":
        if not config.folder:
            raise ValueError("evaluation.folder: expected the folder of a benchmark, got none")
        preset, _, dataset = config.protocol.partition("/")
        rules = zero_shot_protocol(preset, dataset)
        # CLIP's image branch is not trained, and 100 times slower; calibration goes with it.
        rules = replace(
            rules, name=f"{preset} (segment branch)", fusion=Fusion("segment"), gamma=0.0
        )
        return open_benchmark(rules.split.name, config.folder), rules
    if data.classes != SYNTHETIC:
        raise ValueError(
            f"evaluation.source: 'synthetic' has other classes than data.classes '{data.classes}'"
        )
    world = SyntheticWorld(
        data.world, split="validation", seed=data.world_seed, length=config.limit or HELD_OUT
    )
    rules = world_protocol(split, size=data.recipe.size)
    return world.segmentation(), replace(rules, templates=templates(data.prompts))


def _score(
    state: State,
    *,
    plan: Plan,
    source: Source,
    rules: ZeroShotProtocol,
    kind: type[MaskSegmenter],
    text: PlainEmbedder,
    limit: int | None,
) -> Scores:
    weights = {name: state[name] for name in ("params", "stats")}
    if jax.process_count() > 1:
        # Every host judges images of its own.
        weights = multihost_utils.process_allgather(weights, tiled=True)
    model = BoundModel(plan.static, weights["params"], weights["stats"])
    segmenter = kind(model, text=text, defaults=rules)
    report = evaluate(segmenter, source, rules, limit=limit, progress=False)
    values = {name: value for name, value in report.figures().items() if np.isfinite(value)}
    return Scores(values, report.score)
