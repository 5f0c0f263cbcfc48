"""What keeps a run from going on with numbers that are wrong.

A step whose loss or gradient is not finite is skipped on the devices (`step.make_step`); here it is
told of, and too many in a row end the run. The copies of the parameters, which every process
updates by itself, are compared by checksums every so often. Collapsed groups are a warning.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, UInt32

from ovs_jax import parallel
from ovs_jax.training.state import Plan, State
from ovs_jax.training.writer import readable

logger = logging.getLogger(__name__)

COLLAPSED = 0.95
"""Mean share of an image's patches in one group above which the groups are called collapsed."""
COMPARED = ("params", "stats")
"""The parts of a state whose copies are compared."""


@dataclass(frozen=True)
class GuardConfig:
    """When a run gives up.

    Attributes:
      most_skipped: steps in a row that may be skipped because their loss or gradient is not finite;
        one more ends the run. Nothing is saved in between, so that it resumes from before them.
      checksum_every: steps between comparisons of the parameters' copies; 0 never compares.
    """

    most_skipped: int = 5
    checksum_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("most_skipped", "checksum_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"guards.{name}: expected at least 0, got {getattr(self, name)}")


class DivergedError(FloatingPointError):
    """Losses or gradients were not finite too often."""


class DesynchronisedError(ValueError):
    """The processes of a run hold different parameters."""


@dataclass(frozen=True)
class Skipped:
    """A step without an update.

    Attributes:
      step: its number, from 1 on.
      metrics: what it computed.
    """

    step: int
    metrics: Mapping[str, float]


def diverged(skipped: list[Skipped], *, saved: str) -> DivergedError:
    """The report of a run that ends because steps were skipped.

    Args:
      skipped: the steps in a row.
      saved: the folder of the last good checkpoint, or nothing.
    """
    kept = f"the last good checkpoint is {saved}" if saved else "no checkpoint was saved before"
    first = skipped[0]
    others = f", as are the {len(skipped) - 1} after it" if len(skipped) > 1 else ""
    return DivergedError(
        f"step {first.step} is not finite ({readable(first.metrics)}){others}; {kept}. Lower "
        "schedule.learning_rate, lengthen the warm-up or lower optimizer.clip_norm, then run the "
        "same command again to resume from there"
    )


def warn_of_collapse(values: Mapping[str, float]) -> None:
    """Says so if the groups of a record have collapsed."""
    share = values.get("largest_group_share", 0.0)
    if share > COLLAPSED:
        logger.warning(
            "the groups have collapsed: one holds %.0f %% of an image on average. Small batches "
            "and captions with few distinct words cause this",
            100 * share,
        )


def make_comparison(plan: Plan) -> Callable[[State, int], None]:
    """A function that compares the copies of the parameters and batch statistics.

    Args:
      plan: of the state.

    Returns:
      A function of a state and its step. It reads all parameters once, exchanges two numbers a
      device, and is called by all processes. It raises `DesynchronisedError`, in all of them, where
      a device holds other bits than the most of those that should hold the same.
    """
    layout = {name: plan.shardings[name] for name in COMPARED}
    specs = jax.tree.map(lambda sharding: sharding.spec, layout)
    # What lies split over an axis cannot be compared along it.
    alone = [not _axes(spec) for spec in jax.tree.leaves(specs, is_leaf=_is_spec)]
    along = ["data" not in _axes(spec) for spec in jax.tree.leaves(specs, is_leaf=_is_spec)]

    def sums(arrays: Any) -> UInt32[Array, "devices 2"]:
        each = [_checksum(leaf) for leaf in jax.tree.leaves(arrays)]
        none = jnp.zeros((), jnp.uint32)
        pair = [
            sum((one for one, wanted in zip(each, kept, strict=True) if wanted), none)
            for kept in (along, alone)
        ]
        return jax.lax.all_gather(jnp.stack(pair), parallel.AXES)

    program = jax.jit(
        jax.shard_map(
            sums, mesh=plan.mesh, in_specs=(specs,), out_specs=PartitionSpec(), check_vma=False
        ),
        in_shardings=(layout,),
    )

    def compare(state: State, step: int) -> None:
        found = np.asarray(program({name: state[name] for name in COMPARED}))
        across, everywhere = (
            found[:, column].reshape(plan.mesh.devices.shape) for column in (0, 1)
        )
        strange = _minority(across, axis=0) | _minority(everywhere.reshape(-1), axis=0).reshape(
            everywhere.shape
        )
        if strange.any():
            devices = plan.mesh.devices[strange]
            raise DesynchronisedError(
                f"step {step}: the copies of the parameters differ: process(es) "
                f"{sorted({device.process_index for device in devices})} (devices "
                f"{sorted(device.id for device in devices)}) hold other numbers than the rest. "
                "Look for a faulty device or a process with other code, and run the same command "
                "again to resume from the last checkpoint"
            )

    return compare


def _checksum(leaf: Array) -> UInt32[Array, ""]:
    """The sum of an array's bits, read as integers, modulo 2**32."""
    width = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[leaf.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(leaf, width)
    return jnp.sum(bits.astype(jnp.uint32), dtype=jnp.uint32)


def _is_spec(value: Any) -> bool:
    return isinstance(value, PartitionSpec)


def _axes(spec: PartitionSpec) -> set[str]:
    """The mesh axes that a spec splits over."""
    names = [name for name in spec if name is not None]
    return {axis for name in names for axis in ((name,) if isinstance(name, str) else name)}


def _minority(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Where a value is not the most frequent along an axis."""
    rows = np.moveaxis(values, axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    frequent = np.array([max(row, key=row.tolist().count) for row in flat])
    return np.moveaxis((flat != frequent[:, None]).reshape(rows.shape), -1, axis)
