"""The training step of an experiment, made as training makes it, without the input pipeline."""

import time
from dataclasses import replace
from typing import Any

import jax

from ovs_jax import parallel
from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping
from ovs_jax.training import experiment
from ovs_jax.training import state as states
from ovs_jax.training.config import RunConfig, captioned
from ovs_jax.training.objectives import Objective
from ovs_jax.training.state import State
from ovs_jax.typing import Batch


def variant(name: str, *, smoke: bool) -> str:
    """An experiment, or its nano model to try things on."""
    return name.partition(":")[0] + ":smoke" if smoke else name


def load(name: str, *, batch: int, dtype: str, overrides: tuple[str, ...] = ()) -> RunConfig:
    """The config of an experiment at another batch and precision.

    Args:
      name: of the experiment, with its variant or not.
      batch: images a step.
      dtype: of the step.
      overrides: ``--config.FIELD=VALUE``; batch and dtype stay.
    """
    config = from_mapping(RunConfig, experiments.load(name, overrides).to_dict())
    return replace(config, batch_size=batch, step=replace(config.step, dtype=dtype))


class Trainer:
    """A run's step, and a state from scratch that it carries on.

    Args:
      config: of the run.
      objective: what to differentiate; without it that of a config which learns from captions.
    """

    def __init__(self, config: RunConfig, *, objective: Objective | None = None) -> None:
        mesh = experiment.make_mesh(config)
        self.plan = experiment.make_plan(config, mesh, steps=1000, steps_per_epoch=100)
        self._step: Any = experiment.run_step(config, self.plan, objective or captioned(config)[1])
        self._state: Any = None

    @property
    def state(self) -> State:
        """The state after the steps so far; the next one takes its memory."""
        if self._state is None:
            self._state = states.scratch(self.plan, 0)
        return self._state

    def place(self, batch: Batch) -> Batch:
        """A batch on the devices."""
        return parallel.shard_batch(batch, self.plan.mesh)

    def compile(self, batch: Batch) -> tuple[Any, float]:
        """The program for batches of these shapes, and how many seconds compiling took."""
        begin = time.perf_counter()
        program = self._step.lower(self.plan.shapes, batch).compile()
        return program, time.perf_counter() - begin

    def run(self, batch: Batch, program: Any = None) -> None:
        """Takes a step and waits for it.

        Args:
          batch: of the step.
          program: from `compile`; otherwise compiled when shapes are first met.
        """
        self._state, metrics = (program or self._step)(self.state, batch)
        jax.block_until_ready((self._state, metrics))
