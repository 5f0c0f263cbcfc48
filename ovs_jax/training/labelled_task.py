"""Learning from label maps: batches, objective and scores of a ZegFormer run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from ovs_jax.data.benchmarks import open_benchmark
from ovs_jax.data.benchmarks.folders import open_labelled_folders
from ovs_jax.data.labelled import labelled_batches
from ovs_jax.data.pipeline import TrainingBatches
from ovs_jax.data.records import Source
from ovs_jax.evaluation.mask_segmenter import BoundModel, MaskSegmenter, PlainEmbedder
from ovs_jax.evaluation.pixel_segmenter import PixelSegmenter
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol, zero_shot_protocol
from ovs_jax.evaluation.zero_shot_world import world_protocol
from ovs_jax.models import registry
from ovs_jax.models.zegformer.config import PixelBaselineConfig
from ovs_jax.models.zegformer.model import STRIDE
from ovs_jax.nn import functional
from ovs_jax.text.prompts import templates
from ovs_jax.training.class_text import class_embedder
from ovs_jax.training.config import RunConfig
from ovs_jax.training.data_config import SYNTHETIC
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.loop import Scores
from ovs_jax.training.mask_objective import LabelObjective
from ovs_jax.training.objectives import Objective
from ovs_jax.training.scores import make_scorer, open_judged
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
        data = self._data
        return labelled_batches(
            open_source(data),
            self.split,
            self._config.stream(),
            recipe=data.recipe,
            ignore_label=data.ignore_label,
            most_classes=data.most_classes,
        )

    def judged(self) -> tuple[Source, ZeroShotProtocol] | None:
        """Labelled images and the protocol to judge by, the segment branch alone; None for none.

        Raises:
          ValueError: an unknown protocol, or no folder for it.
          FileNotFoundError: the benchmark is missing.
        """
        return open_judged(
            self._config.evaluation, benchmark=segment_branch, synthetic=self._held_out
        )

    def _held_out(self) -> tuple[Source, ZeroShotProtocol]:
        data = self._data
        if data.classes != SYNTHETIC:
            raise ValueError(
                "evaluation.source: 'synthetic' has other classes than data.classes "
                f"'{data.classes}'"
            )
        rules = world_protocol(self.split, size=data.recipe.size)
        world = data.held_out_world(self._config.evaluation.limit)
        return world.segmentation(), replace(rules, templates=templates(data.prompts))

    def scorer(self, plan: Plan) -> Callable[[State], Scores] | None:
        """Scores a state by the harmonic mean of seen and unseen classes, or None."""
        judged = self.judged()
        if judged is None:
            return None
        rules = judged[1]
        # Embedded once, not at every evaluation.
        unit = self.text.embed_classes(rules.split.classes.names, templates=rules.templates)
        text, kind = PlainEmbedder(lambda names: unit), segmenter_kind(mask_model(self._config))

        def segmenter(weights: functional.Tree, mesh: Mesh) -> MaskSegmenter:
            model = BoundModel(plan.static, weights["params"], weights["stats"])
            return kind(model, text=text, defaults=rules)

        return make_scorer(self._config.evaluation, plan, judged=judged, segmenter=segmenter)


def mask_model(config: RunConfig) -> registry.MaskModelConfig:
    """The config of the run's model.

    Raises:
      ValueError: it is of a model that does not learn from label maps.
    """
    model = registry.from_dict(config.model)
    if not isinstance(model, registry.MaskModelConfig):
        wanted = registry.MaskModelConfig
        raise registry.wrong_kind(model, wanted, field="model.name", learns_from="masks")
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
        return data.training_world().segmentation()
    if data.dataset:
        return open_benchmark(data.dataset, data.source, split=data.split)
    return open_labelled_folders(Path(data.source, "images"), Path(data.source, "labels"))


def segment_branch(preset: str, dataset: str) -> tuple[str, ZeroShotProtocol]:
    """The benchmark of a preset and its protocol without CLIP's image branch.

    That branch is not trained, and 100 times slower; calibration goes with it.
    """
    rules = zero_shot_protocol(preset, dataset)
    rules = replace(rules, name=f"{preset} (segment branch)", fusion=Fusion("segment"), gamma=0.0)
    return rules.split.name, rules
