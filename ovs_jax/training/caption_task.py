"""Learning from captions: batches, objective and scores of a GroupViT or OVSegmentor run."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jax.sharding import Mesh

from ovs_jax import parallel
from ovs_jax.data.index_files import open_index
from ovs_jax.data.mixture import ImageTextSet
from ovs_jax.data.pipeline import PipelineConfig, TrainingBatches, augmentation, mixed_batches
from ovs_jax.data.records import CaptionSource, Source
from ovs_jax.data.sources import open_image_text
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.protocols import Protocol, protocol, synthetic_protocol
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.entities import EntityVocabulary, entity_rule
from ovs_jax.text.entity_files import read_entity_list
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training.config import DataConfig, RunConfig, SetConfig, captioned
from ovs_jax.training.data_config import SYNTHETIC
from ovs_jax.training.loop import Scores
from ovs_jax.training.objectives import CaptionObjective, Objective
from ovs_jax.training.scores import make_scorer, open_judged
from ovs_jax.training.state import Plan, State


class CaptionTask:
    """Learning from captions; see `experiment.Task`."""

    def __init__(self, config: RunConfig) -> None:
        """Opens the tokenizer.

        Raises:
          ValueError: config and data do not fit.
          FileNotFoundError: the tokenizer's files are missing.
        """
        self._config, (self._data, objective) = config, captioned(config)
        self._tokenizer = load_tokenizer(self._data.tokenizer)
        self._losses = objective
        self.objective: Objective = objective
        self.tokenizer = self._tokenizer.to_dict()
        self.heads = caption_model(config).encoder.heads

    def open_batches(self) -> TrainingBatches:
        """This process's part of every batch, with the entries that the objective needs.

        Raises:
          ValueError: model, tokenizer and data do not fit each other.
          FileNotFoundError: the data are missing.
        """
        config, data, model = self._config, self._data, caption_model(self._config)
        if self._tokenizer.vocab_size > model.text.vocabulary:
            raise ValueError(
                f"model.text.vocabulary: expected at least the {self._tokenizer.vocab_size} words "
                f"of tokenizer '{data.tokenizer}', got {model.text.vocabulary}"
            )
        if data.text_length > model.text.length:
            raise ValueError(
                f"data.text_length: expected at most model.text.length = {model.text.length}, got "
                f"{data.text_length}"
            )
        if data.text_lengths == "buckets":
            self._losses.check_padding_unseen(model)
        pipeline = PipelineConfig(
            **vars(config.stream()),
            image_size=model.encoder.image_size,
            text_length=data.text_length,
            text_lengths=data.text_lengths,
            fields=batch_fields(self._losses),
            augmentation=data.augmentation,
            prompt_count=data.prompt_count,
            prompt_words=data.prompt_words,
            entity_rule=data.entity_rule,
        )
        sets, vocabulary = open_sets(data)
        agree = parallel.Agreement("text_length").largest
        return mixed_batches(sets, self._tokenizer, pipeline, vocabulary=vocabulary, agree=agree)

    def judged(self) -> tuple[Source, Protocol] | None:
        """Labelled images and the protocol to judge by; None without evaluation.

        Raises:
          ValueError: an unknown protocol, or no folder for it.
          FileNotFoundError: the benchmark is missing.
        """

        def held_out() -> tuple[Source, Protocol]:
            world = self._data.held_out_world(self._config.evaluation.limit)
            scenes = world.segmentation("all")
            return scenes, synthetic_protocol(scenes.class_set, size=self._data.world.size)

        return open_judged(
            self._config.evaluation,
            benchmark=lambda preset, classes: (classes, protocol(preset, classes)),
            synthetic=held_out,
        )

    def scorer(self, plan: Plan) -> Callable[[State], Scores] | None:
        """A function that scores a state by mean IoU, or None without evaluation."""

        def segmenter(weights: functional.Tree, mesh: Mesh) -> GroupSegmenter:
            return GroupSegmenter(
                plan.static,
                weights["params"],
                weights["stats"],
                tokenizer=self._tokenizer,
                text_length=self._data.text_length,
                mesh=mesh,
            )

        return make_scorer(self._config.evaluation, plan, judged=self.judged(), segmenter=segmenter)


def batch_fields(objective: CaptionObjective) -> tuple[str, ...]:
    """The entries of a batch that the losses need."""
    fields = ["image", "caption"]
    fields += ["prompts"] if objective.multi_label else []
    fields += ["question", "answer"] if objective.entity else []
    fields += ["cross_image", "cross_entity"] if objective.mask else []
    return tuple(fields)


def image_dtype(data: DataConfig) -> type[np.generic]:
    """Of the images of a batch: 8-bit, or float32 once something is put into normalised ones."""
    return augmentation(data.augmentation, 1).dtype


def caption_model(config: RunConfig) -> registry.CaptionModelConfig:
    """The config of the run's model.

    Raises:
      ValueError: it is of a model that does not learn from captions.
    """
    model = registry.from_dict(config.model)
    if not isinstance(model, registry.CaptionModelConfig):
        wanted = registry.CaptionModelConfig
        raise registry.wrong_kind(model, wanted, field="model.name", learns_from="captions")
    return model


def open_sets(data: DataConfig) -> tuple[list[ImageTextSet], EntityVocabulary | None]:
    """Images with captions, and what counts as an entity in them (None: the published list).

    Raises:
      ValueError: the data cannot be used, or an index of entities was made from other captions or
        by another rule.
      FileNotFoundError: data, list or index are missing.
    """
    own = SetConfig(data.source, 0.0, data.prompt_words, data.entity_index)
    sets: list[ImageTextSet] = []
    vocabulary = read_entity_list(data.entity_list)[0] if data.entity_list else None
    for chosen in data.sets or (own,):
        source, names = open_source(replace(data, source=chosen.source, sets=()))
        vocabulary = vocabulary or names
        index = None
        if chosen.entity_index:
            rule = entity_rule(data.entity_rule, vocabulary)
            if not isinstance(source, CaptionSource):
                raise ValueError(f"data.entity_index: {chosen.source} cannot give its captions")
            index = open_index(chosen.entity_index, captions=source.captions(), rule=rule)
        sets.append(ImageTextSet(source, chosen.weight, chosen.prompt_words, index))
    return sets, vocabulary


def open_source(data: DataConfig) -> tuple[Source, EntityVocabulary | None]:
    """Images with captions, and what counts as an entity in them (None: the published list)."""
    vocabulary = None
    if data.source == SYNTHETIC:
        source = data.training_world()
        names = source.entities()
        vocabulary = EntityVocabulary(tuple(names), names)
    else:
        source = open_image_text(
            data.source,
            image_column=data.image_column,
            caption_column=data.caption_column,
            data_dir=data.data_dir or None,
        )
    return source, vocabulary
