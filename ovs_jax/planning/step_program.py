"""The real training step of a run, compiled for a machine that need not exist."""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from ovs_jax import parallel
from ovs_jax.nn.execution import Remat
from ovs_jax.planning import program_text
from ovs_jax.planning.program_text import Program
from ovs_jax.training import experiment
from ovs_jax.training.caption_task import batch_fields, caption_model, image_dtype
from ovs_jax.training.config import RunConfig, captioned
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.labelled_task import mask_model
from ovs_jax.training.mask_objective import LabelObjective
from ovs_jax.training.objectives import Objective
from ovs_jax.typing import Batch

EFFORTS = ("exec_time_optimization_effort", "memory_fitting_effort")


@dataclass(frozen=True)
class Choice:
    """What may be chosen about a run without changing what it learns.

    Attributes:
      mesh: sizes of data, fsdp and tensor.
      batch_size: images a step.
      remat: what layers keep for the backward pass.
    """

    mesh: tuple[int, int, int]
    batch_size: int
    remat: Remat


@dataclass(frozen=True)
class Memory:
    """Bytes on one chip.

    Attributes:
      parameters: with batch statistics.
      optimizer: both moments.
      batch: images and texts.
      temporaries: activations, gradients and everything else that lives within a step.
      code: the program.
    """

    parameters: int
    optimizer: int
    batch: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        """All together; the new state takes the place of the old one."""
        return self.parameters + self.optimizer + self.batch + self.temporaries + self.code


@dataclass(frozen=True)
class Compiled:
    """A step that was compiled.

    Attributes:
      choice: what it was compiled for.
      program: as read from its text.
      memory: on one chip.
      xla_flops: XLA's own count for one chip, loops counted once.
      xla_bytes: the same of memory traffic.
      seconds: that compiling took.
    """

    choice: Choice
    program: Program
    memory: Memory
    xla_flops: float
    xla_bytes: float
    seconds: float


class DoesNotFitError(ValueError):
    """The compiler found no way to fit the step into a chip's memory."""


def compile_step(
    config: RunConfig, choice: Choice, devices: list[Any], *, scan: bool, effort: float = 0.0
) -> Compiled:
    """Compiles.

    Args:
      config: of the run, as training would take it.
      choice: in place of the config's mesh, batch and remat policy.
      devices: from `topology.devices`.
      scan: whether equal layers run as a loop, which compiles several times faster.
      effort: how hard the compiler tries, from -1; 0 is as hard as in training. With less, only the
        communication is that of training.

    Returns:
      The program and what it needs.

    Raises:
      ValueError: the batch cannot be split over the mesh, or the config does not fit itself.
      DoesNotFitError: it needs more memory than a chip has.
    """
    settings = replace(config.step, remat=choice.remat, scan=scan)
    data, fsdp, tensor = choice.mesh
    sizes = replace(config.parallel, data=data, fsdp=fsdp, tensor=tensor)
    config = replace(config, batch_size=choice.batch_size, step=settings, parallel=sizes)
    mesh = experiment.make_mesh(config, devices=devices)
    # Neither number changes the program by more than a constant in it.
    plan = experiment.make_plan(config, mesh, steps=config.steps or 1000, steps_per_epoch=100)
    batch = batch_shapes(config, mesh)
    begin = time.perf_counter()
    step = experiment.run_step(config, plan, objective_of(config))
    lowered = step.lower(plan.shapes, batch)
    try:
        compiled = lowered.compile(dict.fromkeys(EFFORTS, effort) if effort else None)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFitError(_first_line(str(error))) from error
    seconds = time.perf_counter() - begin
    known: Any = compiled.memory_analysis()
    costs = compiled.cost_analysis() or {}
    memory = Memory(
        parameters=_bytes(plan.shapes["params"]) + _bytes(plan.shapes["stats"]),
        optimizer=_bytes(plan.shapes["optimizer"]),
        batch=_bytes(batch),
        temporaries=known.temp_size_in_bytes,
        code=known.generated_code_size_in_bytes,
    )
    return Compiled(
        choice=choice,
        program=program_text.read(compiled.as_text()),
        memory=memory,
        xla_flops=float(costs.get("flops", 0.0)),
        xla_bytes=float(costs.get("bytes accessed", 0.0)),
        seconds=seconds,
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def _bytes(tree: Any) -> int:
    """What a tree of shapes takes on one chip."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        shape = leaf.sharding.shard_shape(leaf.shape)
        total += int(np.prod(shape)) * leaf.dtype.itemsize
    return total


def objective_of(config: RunConfig) -> Objective:
    """What the run's step differentiates; class embeddings, which need files, are zero."""
    objective, data = config.objective, config.data
    if isinstance(objective, LabelObjective) and isinstance(data, LabelledDataConfig):
        shape = (len(data.class_split().seen), mask_model(config).embedding)
        return partial(objective, class_unit=np.zeros(shape, np.float32))
    return captioned(config)[1]


def batch_shapes(config: RunConfig, mesh: Mesh) -> Batch:
    """The shapes of a batch with every entry that the run's objective takes.

    Args:
      config: of the run.
      mesh: that the batch is split over.
    """
    sharding: NamedSharding = parallel.batch_sharding(mesh)

    def array(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((config.batch_size, *shape), dtype, sharding=sharding)

    if isinstance(config.data, LabelledDataConfig):
        side = config.data.recipe.size
        return {
            "image": array((side, side, 3), np.uint8),
            "label": array((side, side), np.int32),
            "classes": array((config.data.most_classes,), np.int32),
        }
    (data, objective), model = captioned(config), caption_model(config)

    def texts(*more: int) -> dict[str, jax.ShapeDtypeStruct]:
        shape = (*more, data.text_length)
        return {"ids": array(shape, np.int32), "mask": array(shape, np.bool_)}

    side = model.encoder.image_size
    image = array((side, side, 3), image_dtype(data))
    prompts = texts(data.prompt_count)
    return {
        name: image if name.endswith("image") else prompts if name == "prompts" else texts()
        for name in batch_fields(objective)
    }
