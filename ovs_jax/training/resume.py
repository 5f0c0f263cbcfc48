"""A run's own checkpoints: written while training goes on, restored bit for bit.

The newest few and the best few are kept. A step appears under its name only when it is complete, so
a run may be killed at any instant; what cannot be read all the same is put aside, and the step
before it is used.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from ovs_jax.training import checkpoint
from ovs_jax.training.state import Plan, State

logger = logging.getLogger(__name__)

BROKEN = "broken_checkpoints"
_LEAST_SLICE = 2**20
"""Bytes that a device writes of an array of which others have copies, if it is cut at all."""
PACKAGES = ("ovs-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


@dataclass(frozen=True)
class CheckpointConfig:
    """When checkpoints are written and which stay.

    Attributes:
      every: steps between checkpoints; one is also written at the end, on SIGTERM, and with every
        evaluation.
      keep: how many of the newest stay.
      keep_best: how many of those with the best scores stay besides.
    """

    every: int = 1000
    keep: int = 2
    keep_best: int = 1


class Checkpoints:
    """Writes and restores the checkpoints of one run."""

    def __init__(
        self, workdir: Path, config: CheckpointConfig, *, description: Mapping[str, Any]
    ) -> None:
        """Opens the folder of a run.

        Args:
          workdir: the run's folder; made if it is missing.
          config: when and how many.
          description: JSON values saved with every checkpoint: ``config``, ``model``,
            ``tokenizer``.

        Raises:
          ValueError: a count below 1.
        """
        for field in ("every", "keep"):
            if getattr(config, field) < 1:
                raise ValueError(
                    f"checkpoint.{field}: expected at least 1, got {getattr(config, field)}"
                )
        self.workdir = workdir.absolute()
        self.folder = self.workdir / checkpoint.FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._description = dict(description) | {"versions": package_versions()}
        best = checkpoint_managers.BestN(
            get_metric_fn=checkpoint.score_of,
            n=config.keep_best,
            keep_checkpoints_without_metrics=False,
        )
        newest = checkpoint_managers.LatestN(config.keep)
        # Orbax's own `best_fn` with `max_to_keep` deletes the newest step; two policies do not.
        self._policy = checkpoint_managers.AnyPreservationPolicy([newest, best])
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        # Orbax reads the scores of all steps here and would fail at a damaged one.
        if jax.process_index() == 0:
            for file in sorted(self.folder.glob("[0-9]*/metrics/metrics")):
                try:
                    json.loads(file.read_text())
                except (OSError, ValueError) as error:
                    self._rename(file.parents[1], error)
        _meet("scores read")
        return ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                best_fn=checkpoint.score_of, best_mode="max", preservation_policy=self._policy
            ),
            handler_registry=_handlers(),
        )

    def save(
        self,
        step: int,
        state: State,
        iterator: grain.DatasetIterator,
        *,
        score: float | None = None,
    ) -> None:
        """Starts writing a checkpoint and returns once the arrays have been copied.

        Args:
          step: optimizer steps done.
          state: the training state.
          iterator: the data iterator, which has given exactly the batches of these steps.
          score: what the best checkpoint is chosen by, higher is better; None if not evaluated.
        """
        metrics = {} if score is None or not math.isfinite(score) else {"score": float(score)}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(state),
                data=grain.checkpoint.CheckpointSave(iterator),
                metadata=ocp.args.JsonSave(self._description | {"step": step} | metrics),
            ),
            metrics=metrics,
        )

    def restore(self, plan: Plan, iterator: grain.DatasetIterator) -> State | None:
        """Restores the newest usable checkpoint and moves the data iterator to where it was.

        Args:
          plan: shapes and layout of the state to restore.
          iterator: the data iterator to move.

        Returns:
          The state, or None if the run has no usable checkpoint.

        Raises:
          ValueError: the checkpoint is of another architecture, or of other data settings.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            folder = self.folder / str(step)
            try:
                shapes, metadata = checkpoint.read_shapes(folder), checkpoint.read_metadata(folder)
                _positions(folder)
            except checkpoint.UNREADABLE as error:
                self._set_aside(step, error)
                continue
            checkpoint.compare(shapes, checkpoint.named_leaves(plan.shapes), folder)
            try:
                target = ocp.args.PyTreeRestore(
                    plan.shapes,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(plan.shapes),
                )
                state = self._manager.restore(step, args=ocp.args.Composite(state=target))["state"]
            except Exception as error:
                if not checkpoint.is_damage(error):
                    raise
                self._set_aside(step, error)
                continue
            self._move(step, iterator)
            for line in changes(metadata["config"], self._description["config"]):
                logger.warning("the config has changed since the checkpoint: %s", line)
            return state
        return None

    def _move(self, step: int, iterator: grain.DatasetIterator) -> None:
        files = _positions(self.folder / str(step))
        own = f"process_{jax.process_index()}-of-{jax.process_count()}.json"
        # The position of the stream is the same in all processes; a run of another number of them
        # takes the first's.
        file = next((file for file in files if file.name == own), files[0])
        try:
            iterator.set_state(json.loads(file.read_text()))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"checkpoint {self.folder / str(step)}: the position of its data iterator does not "
                f"fit the data of this run ({error})"
            ) from error
        iterator.start_prefetch()

    def _set_aside(self, step: int, error: Exception) -> None:
        self._manager.close()
        _meet(f"checkpoint {step} closed")
        if jax.process_index() == 0:
            self._rename(self.folder / str(step), error)
        self._manager = self._open()

    def _rename(self, source: Path, error: Exception) -> None:
        logger.warning("checkpoint %s is unusable and is put aside: %s", source, error)
        target = self.workdir / BROKEN / source.name
        target.parent.mkdir(exist_ok=True)
        while target.exists():
            target = target.with_name(target.name + "_")
        source.rename(target)

    @property
    def latest(self) -> int | None:
        """The newest step that is saved or being saved."""
        return self._manager.latest_step()

    @property
    def latest_folder(self) -> str:
        """Where the newest step is saved or being saved; empty if none is."""
        return "" if self.latest is None else str(self.folder / str(self.latest))

    def preempted(self, step: int) -> bool:
        """Whether the cluster is about to stop this run of several processes; all agree."""
        return jax.process_count() > 1 and self._manager.reached_preemption(step)

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()


def _handlers() -> ocp.handlers.DefaultCheckpointHandlerRegistry:
    """Those of Orbax, but small arrays of a state are written whole.

    Every device that holds a copy would write a slice of it, and every slice be cut by a program of
    its own. Of small arrays there are hundreds: compiling for them took longer than all the rest of
    a first checkpoint.
    """
    arrays = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=_LEAST_SLICE)
    types = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
    state = ocp.PyTreeCheckpointHandler(type_handler_registry=types)
    handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
    for args in (ocp.args.PyTreeSave, ocp.args.PyTreeRestore):
        handlers.add("state", args, state)
    return handlers


def _meet(name: str) -> None:
    """Waits for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _positions(folder: Path) -> list[Path]:
    """The position files of a step's folder; raises what is in `UNREADABLE` if they are damaged."""
    files = sorted((folder / "data").glob("process_*.json"))
    if not files:
        raise FileNotFoundError(f"{folder / 'data'} holds no position")
    for file in files:
        json.loads(file.read_text())
    return files


def package_versions() -> dict[str, str]:
    """The versions of the packages that decide numbers."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = installed.version(name)
        except installed.PackageNotFoundError:
            found[name] = "not installed"
    return found


def changes(old: Any, new: Any, name: str = "") -> list[str]:
    """The fields in which two nested configs differ, one line each: ``a.b: 1 -> 2``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in changes(
                old.get(key, "absent"),
                new.get(key, "absent"),
                f"{name}.{key}".lstrip("."),
            )
        ]
    # JSON turns tuples into lists; compared as JSON they are equal.
    same = json.dumps(old) == json.dumps(new)
    return [] if same else [f"{name}: {old} -> {new}"]
