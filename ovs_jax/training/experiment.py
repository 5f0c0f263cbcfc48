"""From a config to a running experiment: data, model, optimizer, evaluation, put together."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
from jax.sharding import Mesh, PartitionSpec

from ovs_jax import parallel
from ovs_jax.data.pipeline import TrainingBatches
from ovs_jax.evaluation.files import check_output_folder
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.training import loop
from ovs_jax.training import state as states
from ovs_jax.training.caption_task import CaptionTask
from ovs_jax.training.config import RunConfig
from ovs_jax.training.flops import arithmetic
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.labelled_task import LabelledTask
from ovs_jax.training.loop import LoopConfig, Outcome, Scores
from ovs_jax.training.objectives import Objective
from ovs_jax.training.resume import Checkpoints
from ovs_jax.training.run_folder import CONFIG_FILE, discard_fruitless, existing
from ovs_jax.training.schedule import ScheduleConfig, polynomial, warmup_cosine
from ovs_jax.training.start import start
from ovs_jax.training.state import Plan, State
from ovs_jax.training.step import Metrics, StepConfig, make_step
from ovs_jax.training.writer import Writer
from ovs_jax.typing import Batch

logger = logging.getLogger(__name__)

PROFILE = "profile"


def run(config: RunConfig, workdir: str | Path, *, profile: bool = False) -> Outcome:
    """Trains, or goes on training, in a folder.

    Everything that can be wrong with the config or the data is found before anything is written.

    Args:
      config: what to train, on what, how.
      workdir: gets ``config.json``, ``metrics.jsonl`` and ``checkpoints/``; if it holds checkpoints
        the run resumes.
      profile: whether a trace of a few steps is written to ``profile/`` in the folder.

    Returns:
      The last state.

    Raises:
      ValueError: the config does not fit itself, the data or the checkpoint.
      FileNotFoundError: data, vocabulary or ``init.checkpoint`` are missing.
      guards.DivergedError: losses or gradients were not finite too often.
      guards.DesynchronisedError: the processes hold different parameters.
    """
    check_output_folder(Path(workdir), field="workdir")
    parallel.initialize(config.parallel.distributed)
    mesh = make_mesh(config)
    task = open_task(config)
    batches = task.open_batches()
    try:
        steps = config.steps or int(config.epochs * batches.steps_per_epoch)
        plan = make_plan(config, mesh, steps=steps, steps_per_epoch=batches.steps_per_epoch)
        scorer = task.scorer(plan)
        return _train(
            config, Path(workdir), task, plan, batches, scorer, steps=steps, profile=profile
        )
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
    profile: bool,
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
        guards=config.guards,
        profile=workdir / PROFILE if profile else None,
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
        outcome = loop.train(
            plan,
            run_step(config, plan, task.objective),
            state,
            batches,
            config=length,
            checkpoints=checkpoints,
            writer=writer,
            evaluate=scorer,
            arithmetic=arithmetic(config, plan.mesh),
        )
        failed = False
        return outcome
    finally:
        if writer is not None:
            writer.close()
        checkpoints.close()
        if failed and jax.process_index() == 0:
            discard_fruitless(workdir, before=before)


def make_mesh(config: RunConfig, *, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of a run, over all devices or those given, checked against its batch."""
    sizes = config.parallel
    mesh = parallel.make_mesh((sizes.data, sizes.fsdp, sizes.tensor), devices=devices)
    parts = parallel.batch_shards(mesh) * config.step.accumulate
    if config.batch_size % parts:
        raise ValueError(
            f"batch_size: expected a multiple of data x fsdp x accumulate = {parts}, got "
            f"{config.batch_size}"
        )
    return mesh


def run_step(
    config: RunConfig, plan: Plan, objective: Objective
) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """The step of a run: its objective, differentiated with the settings of its config."""
    return make_step(plan, objective, StepConfig(config.seed, **vars(config.step)))


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
