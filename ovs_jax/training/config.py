"""The resolved config of a run: frozen dataclasses, filled from the nested dict of an experiment.

All defaults stand here and in the dataclasses of the parts. Experiments (``configs/``) change them
in a locked ConfigDict; `ovs_jax.mapping.from_mapping` turns that into these types once, at the
boundary, so that nothing below ever sees a config object.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import jax

from ovs_jax.data.pipeline_config import StreamConfig
from ovs_jax.nn.execution import AttentionName, Remat
from ovs_jax.training.data_config import TrainingDataConfig
from ovs_jax.training.guards import GuardConfig
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.mask_objective import LabelObjective
from ovs_jax.training.objectives import CaptionObjective
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.resume import CheckpointConfig
from ovs_jax.training.start import InitConfig

PromptWords = Literal["nouns", "nltk_nouns", "entities", "none"]


@dataclass(frozen=True)
class SetConfig:
    """One of several sets of images and captions; see `data.mixture.ImageTextSet`.

    Attributes:
      source: a folder or table of photos and captions (`data.sources.open_image_text`).
      weight: its share of every batch, relative to the other sets; 0 for its number of records.
      prompt_words: as in `DataConfig`, for this set.
      entity_index: as in `DataConfig`, for this set.
    """

    source: str
    weight: float = 0.0
    prompt_words: PromptWords = "nouns"
    entity_index: str = ""


@dataclass(frozen=True, kw_only=True)
class DataConfig(TrainingDataConfig):
    """Where images and captions come from, and how batches are made of them.

    Attributes:
      source: ``synthetic``, or a folder or table of photos and captions
        (`data.sources.open_image_text`); or
      sets: several of these, mixed by weight. They take the place of source, prompt_words and
        entity_index.
      image_column: in a table, the column of image files.
      caption_column: in a table, the column of captions.
      data_dir: where data sets of TFDS are; its own default if empty.
      tokenizer: ``synthetic``, ``wordpiece:FILE``, ``clip:PATH`` or ``roberta:FOLDER``.
      text_length: tokens a text, longer ones are cut.
      text_lengths: ``original`` pads every text to ``text_length``, as published; ``buckets`` pads
        a batch to the smallest of 16, 24, 32, 48 and 77 tokens that holds its texts. That changes
        nothing but the time a step takes, and is refused where it would
        (`CaptionObjective.check_padding_unseen`).
      augmentation: ``stage1``, ``stage2`` or ``none``.
      prompt_count: noun prompts a caption, for the multi-label loss.
      prompt_words: what noun prompts name: the caption's ``nouns`` by lexicon, its ``nltk_nouns``
        by NLTK's tagger (to be installed with its data), only its ``entities``, or ``none``, which
        repeats the caption.
      entity_rule: ``corrected`` or ``original``, for the entity and mask losses.
      entity_list: a file of own entities (`text.entity_files`); the published ones if empty.
      entity_index: a folder from ``ovs-jax data index-entities``; if empty, the captions are read
        when the run starts.
      kind: tells the kinds of data apart in a config.
    """

    sets: tuple[SetConfig, ...] = ()
    image_column: str = "image"
    caption_column: str = "caption"
    data_dir: str = ""
    tokenizer: str = "synthetic"
    text_length: int = 32
    text_lengths: Literal["original", "buckets"] = "original"
    augmentation: str = "stage1"
    prompt_count: int = 3
    prompt_words: PromptWords = "nouns"
    entity_rule: str = "corrected"
    entity_list: str = ""
    entity_index: str = ""
    kind: Literal["captions"] = "captions"

    def __post_init__(self) -> None:
        if bool(self.source) == bool(self.sets):
            raise ValueError(
                "expected one of data.source and data.sets, the other empty; got data.source="
                f"'{self.source}' and {len(self.sets)} sets"
            )
        if self.sets and self.entity_index:
            raise ValueError("data.entity_index: with data.sets each set names its own")


@dataclass(frozen=True)
class ScheduleSettings:
    """The learning rate, in epochs or in steps.

    Attributes:
      shape: ``cosine`` after the warm-up, or ``polynomial`` from the first step to 0, which has
        neither a minimum nor a warm-up.
      power: of what is left, for ``polynomial``.
      learning_rate: at the top of the cosine, or of the first step.
      minimum: at the cosine's end.
      warmup: of the first step, where there is a warm-up.
      warmup_epochs: length of the warm-up; or
      warmup_steps: the same in steps.
      reference_batch: the rates are multiplied by batch_size / reference_batch; 0 takes them as
        they stand.
    """

    shape: Literal["cosine", "polynomial"] = "cosine"
    power: float = 0.9
    learning_rate: float = 1e-3
    minimum: float = 1e-5
    warmup: float = 1e-6
    warmup_epochs: float = 0.0
    warmup_steps: int = 0
    reference_batch: int = 0


@dataclass(frozen=True)
class StepSettings:
    """How a step computes; see `step.StepConfig`.

    Attributes:
      dtype: ``float32`` or ``bfloat16``.
      accumulate: parts of a batch that are computed one after the other.
      negatives: ``part`` contrasts a row with those of its part, ``batch`` with all.
      momentum: of the momentum encoder.
      remat: what layers keep for the backward pass: ``none`` keeps all it needs, ``dots`` the
        results of dense layers, ``block`` a layer's input alone.
      scan: whether equal layers run as a loop, which compiles faster.
      attention: ``xla``, ``cudnn`` or ``auto``.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    accumulate: int = 1
    negatives: Literal["part", "batch"] = "part"
    momentum: float = 0.99
    remat: Remat = "none"
    scan: bool = False
    attention: AttentionName = "xla"


@dataclass(frozen=True)
class ParallelConfig:
    """The mesh.

    Attributes:
      data: devices along which only the batch is split; -1 for all that remain.
      fsdp: devices along which batch, parameters and optimizer state are split.
      tensor: devices along which single layers are split, where ``rules`` say so.
      rules: ordered pairs of a path pattern and one axis name (or ``none``) for each dimension.
        Other large parameters are split over ``fsdp``.
      distributed: ``auto``, ``on`` or ``off``: whether to join a run of several processes.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    rules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    distributed: Literal["auto", "on", "off"] = "auto"


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation during training.

    Attributes:
      every: steps between evaluations; 0 evaluates at the end only.
      source: ``none``, ``synthetic`` (held-out scenes, every pixel labelled) or ``benchmark``.
      folder: for ``benchmark``, that of its official download, or what ``ovs-jax data prepare``
        made of it.
      protocol: for ``benchmark``, a preset and class list such as ``ovsegmentor/voc21``; of
        labelled data ``zegformer/pascal_voc``, of which the segment branch alone is judged.
      limit: images to judge; 0 for all (of the synthetic world: 500).
      batch_size: windows that the model sees at a time.
    """

    every: int = 0
    source: Literal["none", "synthetic", "benchmark"] = "none"
    folder: str = ""
    protocol: str = "ovsegmentor/voc21"
    limit: int = 0
    batch_size: int = 16


@dataclass(frozen=True)
class RunConfig:
    """Everything a training run is made from.

    Attributes:
      model: the model's name and every field of its config (`models.registry.to_dict`).
      batch_size: images a step, over all devices and processes.
      steps: optimizer steps of the run; or
      epochs: passes over the data.
      seed: of initial weights, data order and all noise.
      log_every: steps between records.
      objective: the losses and their weights; from captions, or from label maps.
      data: images with captions, or with label maps.
      optimizer: AdamW and its rules.
      schedule: the learning rate.
      step: precision and accumulation.
      parallel: the mesh.
      checkpoint: when to save and what to keep.
      init: weights to start from.
      evaluation: scores during training.
      guards: when to give up.
    """

    model: dict[str, Any]
    batch_size: int = 128
    steps: int = 0
    epochs: float = 0.0
    seed: int = 0
    log_every: int = 50
    objective: CaptionObjective | LabelObjective = field(default_factory=CaptionObjective)
    data: DataConfig | LabelledDataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    step: StepSettings = field(default_factory=StepSettings)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    init: InitConfig = field(default_factory=InitConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    guards: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError(
                f"expected one of steps and epochs above 0, got steps={self.steps} and "
                f"epochs={self.epochs}"
            )
        labels = isinstance(self.objective, LabelObjective)
        if labels != isinstance(self.data, LabelledDataConfig):
            needed = "labelled" if labels else "captions"
            raise ValueError(
                f"data.kind: objective.kind '{self.objective.kind}' learns from '{needed}' data, "
                f"got '{self.data.kind}'"
            )
        self._check_ranges()
        if self.schedule.shape == "polynomial" and (
            self.schedule.warmup_epochs or self.schedule.warmup_steps
        ):
            raise ValueError("schedule.shape: 'polynomial' has no warm-up, expected none")
        if self.schedule.warmup_epochs and self.schedule.warmup_steps:
            raise ValueError(
                "schedule: expected one of warmup_epochs and warmup_steps, got "
                f"{self.schedule.warmup_epochs} and {self.schedule.warmup_steps}"
            )

    def stream(self) -> StreamConfig:
        """How this process draws its part of every batch."""
        return StreamConfig(
            self.batch_size,
            seed=self.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            **self.data.reading(),
        )

    def _check_ranges(self) -> None:
        adam, loss, rates = self.optimizer, self.objective, self.schedule
        ranges = {
            "step.accumulate": (self.step.accumulate, 1, math.inf),
            "step.momentum": (self.step.momentum, 0, 1),
            "schedule.learning_rate": (rates.learning_rate, 0, 1e6),
            "schedule.minimum": (rates.minimum, 0, 1e6),
            "schedule.warmup": (rates.warmup, 0, 1e6),
            "optimizer.beta1": (adam.beta1, 0, 1),
            "optimizer.beta2": (adam.beta2, 0, 1),
            "optimizer.clip_norm": (adam.clip_norm, 0, math.inf),
            "optimizer.weight_decay": (adam.weight_decay, 0, math.inf),
            "checkpoint.keep_best": (self.checkpoint.keep_best, 0, math.inf),
            "evaluation.limit": (self.evaluation.limit, 0, math.inf),
            "evaluation.batch_size": (self.evaluation.batch_size, 1, math.inf),
        }
        if isinstance(loss, CaptionObjective):
            ranges |= {
                "objective.multi_label": (loss.multi_label, 0, math.inf),
                "objective.entity": (loss.entity, 0, math.inf),
                "objective.mask": (loss.mask, 0, math.inf),
                "objective.detached_share": (loss.detached_share, 0, 1),
            }
        for name, (value, least, most) in ranges.items():
            if not least <= value <= most:  # not a number is outside too
                expected = f"at least {least}" if most == math.inf else f"{least} to {most:g}"
                raise ValueError(f"{name}: expected {expected}, got {value}")


def captioned(config: RunConfig) -> tuple[DataConfig, CaptionObjective]:
    """Data and objective of a run that learns from captions.

    Raises:
      ValueError: it learns from something else.
    """
    data, objective = config.data, config.objective
    if not isinstance(data, DataConfig) or not isinstance(objective, CaptionObjective):
        raise ValueError(
            f"expected data and objective of kind 'captions', got '{data.kind}' and "
            f"'{objective.kind}'"
        )
    return data, objective
