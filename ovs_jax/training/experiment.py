"""From a config to a running experiment: data, model, optimizer, evaluation, put together."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
from jax.sharding import Mesh, PartitionSpec

from ovs_jax import parallel
from ovs_jax.data.index_files import open_index
from ovs_jax.data.mixture import ImageTextSet
from ovs_jax.data.pipeline import PipelineConfig, TrainingBatches, mixed_batches
from ovs_jax.data.records import CaptionSource, Source
from ovs_jax.data.sources import open_image_text
from ovs_jax.data.synthetic import SyntheticWorld
from ovs_jax.evaluation.files import check_output_folder
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.entities import EntityVocabulary, entity_rule
from ovs_jax.text.entity_files import read_entity_list
from ovs_jax.text.tokenizers import Tokenizer, load_tokenizer
from ovs_jax.training import loop
from ovs_jax.training import state as states
from ovs_jax.training.caption_scores import make_scorer
from ovs_jax.training.config import DataConfig, RunConfig, SetConfig, captioned
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.labelled_task import LabelledTask
from ovs_jax.training.loop import LoopConfig, Outcome, Scores
from ovs_jax.training.objectives import Objective
from ovs_jax.training.resume import Checkpoints
from ovs_jax.training.run_folder import CONFIG_FILE, discard_fruitless, existing
from ovs_jax.training.schedule import ScheduleConfig, polynomial, warmup_cosine
from ovs_jax.training.start import start
from ovs_jax.training.state import Plan, State
from ovs_jax.training.step import StepConfig, make_step
from ovs_jax.training.writer import Writer

logger = logging.getLogger(__name__)


def run(config: RunConfig, workdir: str | Path) -> Outcome:
    """Trains, or goes on training, in a folder.

    Everything that can be wrong with the config or the data is found before anything is written.

    Args:
      config: what to train, on what, how.
      workdir: gets ``config.json``, ``metrics.jsonl`` and ``checkpoints/``; if it holds checkpoints
        the run resumes.

    Returns:
      The last state.

    Raises:
      ValueError: the config does not fit itself, the data or the checkpoint.
      FileNotFoundError: data, vocabulary or ``init.checkpoint`` are missing.
      loop.DivergedError: a loss or gradient was not finite.
    """
    check_output_folder(Path(workdir), field="workdir")
    parallel.initialize(config.parallel.distributed)
    mesh = make_mesh(config)
    task = open_task(config)
    batches = task.open_batches()
    try:
        steps = config.steps or int(config.epochs * batches.steps_per_epoch)
        plan = make_plan(config, mesh, steps=steps, steps_per_epoch=batches.steps_per_epoch)
        return _train(config, Path(workdir), task, plan, batches, task.scorer(plan), steps=steps)
    finally:
        batches.close()


@runtime_checkable
class Task(Protocol):
    """What depends on the kind of data that is learned from; see `open_task`.

    Attributes:
      objective: what the step differentiates.
      tokenizer: what a checkpoint holds of it; empty if the model has no text encoder.
      heads: of the model's image encoder, by stage; none where it is no transformer.
    """

    @property
    def objective(self) -> Objective: ...  # noqa: D102

    @property
    def tokenizer(self) -> dict[str, Any]: ...  # noqa: D102

    @property
    def heads(self) -> tuple[int, ...]: ...  # noqa: D102

    def open_batches(self) -> TrainingBatches:
        """This process's part of every batch."""
        ...

    def scorer(self, plan: Plan) -> Callable[[State], Scores] | None:
        """A function that scores a state, or None without evaluation."""
        ...


class CaptionTask:
    """Learning from captions.

    Args:
      config: of the run.

    Raises:
      ValueError: config and data do not fit.
      FileNotFoundError: the tokenizer's files are missing.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config, (self._data, objective) = config, captioned(config)
        self._tokenizer = load_tokenizer(self._data.tokenizer)
        self.objective: Objective = objective
        self.tokenizer = self._tokenizer.to_dict()
        self.heads = caption_model(config).encoder.heads

    def open_batches(self) -> TrainingBatches:
        """See `open_batches`."""
        return open_batches(self._config, self._tokenizer)

    def scorer(self, plan: Plan) -> Callable[[State], Scores] | None:
        """See `make_scorer`."""
        return make_scorer(self._config.evaluation, self._data, plan, self._tokenizer)


def open_task(config: RunConfig) -> Task:
    """What a run learns from, and how.

    Raises:
      ValueError: model, objective and data do not fit each other.
      FileNotFoundError: a tokenizer, text encoder or class list is missing.
    """
    if isinstance(config.data, LabelledDataConfig):
        return LabelledTask(config)
    return CaptionTask(config)


def _train(
    config: RunConfig,
    workdir: Path,
    task: Task,
    plan: Plan,
    batches: TrainingBatches,
    scorer: Callable[[State], Scores] | None,
    *,
    steps: int,
) -> Outcome:
    description = {
        "config": asdict(config),
        "model": registry.to_dict(registry.from_dict(config.model)),
        "tokenizer": task.tokenizer,
    }
    length = LoopConfig(
        steps=steps,
        log_every=config.log_every,
        evaluate_every=config.evaluation.every,
        save_every=config.checkpoint.every,
    )
    before = existing(workdir)
    checkpoints = Checkpoints(workdir, config.checkpoint, description=description)
    writer = None
    failed = True
    try:
        state = start(
            plan, checkpoints, batches, seed=config.seed, init=config.init, heads=task.heads
        )
        first = jax.process_index() == 0
        writer = Writer(workdir, step=int(state["step"]), steps=steps, enabled=first)
        if first:
            text = json.dumps(description["config"], indent=1) + "\n"
            (workdir / CONFIG_FILE).write_text(text, encoding="utf-8")
        logger.info(
            "%d parameters (%d trained), %d records, %d steps of %d images on %d device(s)",
            functional.count(plan.shapes["params"]),
            functional.count(states.trainable(plan)),
            batches.records,
            steps,
            config.batch_size,
            plan.mesh.size,
        )
        settings = StepConfig(config.seed, **asdict(config.step))
        outcome = loop.train(
            plan,
            make_step(plan, task.objective, settings),
            state,
            batches,
            config=length,
            checkpoints=checkpoints,
            writer=writer,
            evaluate=scorer,
        )
        failed = False
        return outcome
    finally:
        if writer is not None:
            writer.close()
        checkpoints.close()
        if failed and jax.process_index() == 0:
            discard_fruitless(workdir, before=before)


def make_mesh(config: RunConfig) -> Mesh:
    """The mesh of a run, checked against its batch."""
    sizes = config.parallel
    mesh = parallel.make_mesh((sizes.data, sizes.fsdp, sizes.tensor))
    parts = parallel.batch_shards(mesh) * config.step.accumulate
    if config.batch_size % parts:
        raise ValueError(
            f"batch_size: expected a multiple of data x fsdp x accumulate = {parts}, got "
            f"{config.batch_size}"
        )
    return mesh


def make_plan(config: RunConfig, mesh: Mesh, *, steps: int, steps_per_epoch: int) -> Plan:
    """The plan of a run's state.

    Args:
      config: of the run.
      mesh: from `make_mesh`.
      steps: of the whole run.
      steps_per_epoch: in which the warm-up may be given.

    Returns:
      Model, optimizer and layout, without values.
    """
    rates = asdict(config.schedule)
    epochs, shape, power = (rates.pop(name) for name in ("warmup_epochs", "shape", "power"))
    rates["warmup_steps"] = rates["warmup_steps"] or int(epochs * steps_per_epoch)
    scaled = ScheduleConfig(**rates).scaled(config.batch_size)
    if shape == "polynomial":
        schedule = polynomial(scaled.learning_rate, steps=steps, power=power)
    else:
        schedule = warmup_cosine(scaled, steps=steps)
    rules = [
        (pattern, PartitionSpec(*(None if axis == "none" else axis for axis in axes)))
        for pattern, axes in config.parallel.rules
    ]
    return states.plan(
        registry.build(registry.from_dict(config.model)),
        mesh=mesh,
        config=config.optimizer,
        schedule=schedule,
        rules=(*rules, *parallel.DEFAULT_RULES),
    )


def caption_model(config: RunConfig) -> registry.CaptionModelConfig:
    """The config of the run's model.

    Raises:
      ValueError: it is of a model that does not learn from captions.
    """
    model = registry.from_dict(config.model)
    if not isinstance(model, registry.CaptionModelConfig):
        raise ValueError(
            f"model.name: '{registry.model_name(model)}' does not learn from captions, expected "
            "groupvit or ovsegmentor"
        )
    return model


def open_batches(config: RunConfig, tokenizer: Tokenizer) -> TrainingBatches:
    """This process's part of every batch, with the entries that the objective needs."""
    (data, objective), model = captioned(config), caption_model(config)
    if tokenizer.vocab_size > model.text.vocabulary:
        raise ValueError(
            f"model.text.vocabulary: expected at least the {tokenizer.vocab_size} words of "
            f"tokenizer '{data.tokenizer}', got {model.text.vocabulary}"
        )
    if data.text_length > model.text.length:
        raise ValueError(
            f"data.text_length: expected at most model.text.length = {model.text.length}, got "
            f"{data.text_length}"
        )
    fields = ["image", "caption"]
    fields += ["prompts"] if objective.multi_label else []
    fields += ["question", "answer"] if objective.entity else []
    fields += ["cross_image", "cross_entity"] if objective.mask else []
    pipeline = PipelineConfig(
        batch_size=config.batch_size,
        image_size=model.encoder.image_size,
        text_length=data.text_length,
        fields=tuple(fields),
        augmentation=data.augmentation,
        prompt_count=data.prompt_count,
        prompt_words=data.prompt_words,
        remember=data.remember,
        entity_rule=data.entity_rule,
        seed=config.seed,
        slices=data.slices,
        workers=data.workers,
        threads=data.threads,
        prefetch=data.prefetch,
        max_bad_share=data.max_bad_share,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    sets, vocabulary = open_sets(data)
    return mixed_batches(sets, tokenizer, pipeline, vocabulary=vocabulary)


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
    if data.source == "synthetic":
        source = SyntheticWorld(data.world, seed=data.world_seed, length=data.world_length)
        names = source.entities()
        vocabulary = EntityVocabulary(tuple(names), names)
    else:
        source = open_image_text(
            data.source, image_column=data.image_column, caption_column=data.caption_column
        )
    return source, vocabulary
