"""Devices: the mesh, how batches and parameters are laid out on it, and start-up over hosts.

One mesh with three axes serves every size of machine. ``data`` repeats the parameters and splits
the batch; ``fsdp`` splits both, so that parameters and optimizer state need a fraction of the
memory; ``tensor`` splits single layers as the rules say. Each may be 1. Batches are split over
``data × fsdp``. The axes are of type
Auto: the compiler inserts the communication, and batch statistics, contrastive negatives and
metrics are over the global batch by construction. No other file makes a mesh.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ovs_jax.nn import functional
from ovs_jax.typing import Batch

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")
BATCH = PartitionSpec(BATCH_AXES)
_PATIENCE = 600_000
"""Milliseconds that a process waits for the others to say something."""


@dataclass(frozen=True)
class FullyShard:
    """Splits a parameter over ``fsdp`` along its longest axis that divides evenly.

    Attributes:
      minimum_size: parameters with fewer elements are repeated on every device; splitting them
        costs more in communication than it saves in memory.
    """

    minimum_size: int = 2**16


Rule = tuple[str, PartitionSpec | FullyShard]
DEFAULT_RULES: tuple[Rule, ...] = ((r".*", FullyShard()),)
"""Every large parameter is split over ``fsdp``; with ``fsdp`` = 1 all are repeated."""


def initialize(mode: str = "auto") -> None:
    """Joins the processes of a multi-host run. Call it before anything else touches a device.

    On Slurm, Open MPI and TPU pods JAX finds the other processes by itself. Elsewhere set
    ``JAX_COORDINATOR_ADDRESS`` (host:port of the first process), ``JAX_NUM_PROCESSES`` and
    ``JAX_PROCESS_ID``.

    Args:
      mode: ``auto`` joins where the environment announces several processes; ``on`` always asks JAX
        to find the cluster, which TPU pods need that announce themselves only through their
        metadata server; ``off`` never does.

    Raises:
      ValueError: the mode is unknown, or the environment is incomplete.
    """
    if mode not in ("auto", "on", "off"):
        raise ValueError(f"parallel.distributed: expected 'auto', 'on' or 'off', got '{mode}'")
    wanted = mode == "on" or (mode == "auto" and _announced(os.environ))
    if wanted and not jax.distributed.is_initialized():
        jax.distributed.initialize(**_given(os.environ))


def _announced(environment: Mapping[str, str]) -> bool:
    """Whether the environment speaks of more than one process."""
    counts = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "JAX_NUM_PROCESSES")
    several = any(environment.get(name, "1") not in ("", "1") for name in counts)
    return several or "," in environment.get("TPU_WORKER_HOSTNAMES", "")


def _given(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the environment says where no cluster manager does."""
    names = {
        "coordinator_address": "JAX_COORDINATOR_ADDRESS",
        "num_processes": "JAX_NUM_PROCESSES",
        "process_id": "JAX_PROCESS_ID",
    }
    found = {key: environment[name] for key, name in names.items() if name in environment}
    if not found:
        return {}
    if len(found) < len(names):
        raise ValueError(f"parallel.distributed: expected all or none of {[*names.values()]}")
    address = found["coordinator_address"]
    counts = {key: int(found[key]) for key in ("num_processes", "process_id")}
    return {"coordinator_address": address, **counts}


class Agreement:
    """Lets the processes of a run agree on small numbers, each as often as the others.

    It goes through the service that the processes have joined by, not through the devices: those
    would have to finish the step they are at first.
    """

    def __init__(self, name: str) -> None:
        """Begins with the first number.

        Args:
          name: tells what is agreed on, and is used for nothing else.
        """
        self._name = name
        self._round = 0

    def largest(self, number: int) -> int:
        """The largest number that any process calls this with; waits for all of them."""
        count, own = jax.process_count(), jax.process_index()
        if count == 1:
            return number
        # The only door to the service; `jax.experimental.multihost_utils` goes through it too.
        client: Any = distributed.global_state.client
        self._round += 1
        path = f"ovs_jax/{self._name}/{self._round}"
        if own:
            client.key_value_set(f"{path}/{own}", str(number))
            return int(client.blocking_key_value_get(f"{path}/all", _PATIENCE))
        others = [
            int(client.blocking_key_value_get(f"{path}/{process}", _PATIENCE))
            for process in range(1, count)
        ]
        largest = max(number, *others)
        client.key_value_set(f"{path}/all", str(largest))
        # Who has sent a number of this round has read the result of the one before.
        client.key_value_delete(f"ovs_jax/{self._name}/{self._round - 1}/")
        return largest


def make_mesh(shape: Sequence[int], *, devices: Sequence[Any] | None = None) -> Mesh:
    """Makes the mesh.

    Args:
      shape: sizes of the axes data, fsdp and tensor; one of them may be -1 for all devices that
        remain.
      devices: the devices to use; all of them if not given.

    Returns:
      A mesh whose axes are of type Auto.

    Raises:
      ValueError: the sizes do not multiply to the number of devices.
    """
    devices = list(jax.devices()) if devices is None else list(devices)
    sizes = list(shape)
    if len(sizes) != len(AXES) or sizes.count(-1) > 1 or any(n < 1 and n != -1 for n in sizes):
        raise ValueError(
            f"parallel: expected three positive sizes for {AXES}, one perhaps -1, got {shape}"
        )
    known = int(np.prod([n for n in sizes if n != -1]))
    if -1 in sizes:
        sizes[sizes.index(-1)] = len(devices) // known
    if int(np.prod(sizes)) != len(devices):
        raise ValueError(
            f"parallel: {dict(zip(AXES, shape, strict=True))} does not fill {len(devices)} devices"
        )
    return jax.make_mesh(
        tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device holds in full."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch: its first axis over ``data × fsdp``."""
    return NamedSharding(mesh, BATCH)


def batch_shards(mesh: Mesh) -> int:
    """Into how many parts a batch is split."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def visible(mesh: Mesh) -> AbstractContextManager[Any]:
    """Lets what is traced within know the mesh, for `map_over_batch`."""
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def map_over_batch(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """Makes every device do its own rows of a batch, without a word to the others.

    The compiler does not see that the rows of a loop with a condition, such as the solver of an
    assignment, are independent, and inserts communication into it.

    Args:
      function: of an array whose first axis is the batch, row by row.

    Returns:
      The same function. Where a mesh is `visible` its argument must split evenly over the devices.
    """

    def mapped(rows: jax.Array) -> jax.Array:
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty:
            return function(rows)
        return jax.shard_map(function, mesh=mesh, in_specs=BATCH, out_specs=BATCH, check_vma=False)(
            rows
        )

    return mapped


def parameter_shardings(
    shapes: functional.Tree, mesh: Mesh, *, rules: Sequence[Rule] = DEFAULT_RULES
) -> functional.Tree:
    """Lays parameters out on the mesh.

    Args:
      shapes: the parameters, or their shapes.
      mesh: from `make_mesh`.
      rules: ordered pairs of a path pattern and a spec; the first that matches the whole path
        decides, and a parameter that none matches is repeated on every device.

    Returns:
      A tree of shardings like ``shapes``.

    Raises:
      ValueError: a spec names an unknown axis, or does not fit the parameters it matches; every
        misfit is listed.
    """
    for pattern, spec in rules:
        unknown = [] if isinstance(spec, FullyShard) else _unknown_axes(spec)
        if unknown:
            raise ValueError(
                f"parallel.rules: the rule for '{pattern}' names the axes {unknown}, expected some "
                f"of {AXES}"
            )
    flat = functional.paths(shapes)
    chosen = functional.match(flat, rules, PartitionSpec())
    specs = {
        path: _fully_shard(flat[path].shape, mesh.shape["fsdp"], spec.minimum_size)
        if isinstance(spec, FullyShard)
        else spec
        for path, spec in chosen.items()
    }
    misfits = [
        f"{path} {tuple(flat[path].shape)} by {spec}"
        for path, spec in specs.items()
        if not _fits(flat[path].shape, spec, mesh)
    ]
    if misfits:
        raise ValueError(
            f"parallel.rules: these parameters cannot be split over {dict(mesh.shape)}: "
            + "; ".join(misfits)
        )
    return functional.nest({path: NamedSharding(mesh, spec) for path, spec in specs.items()})


def _fully_shard(shape: tuple[int, ...], parts: int, minimum_size: int) -> PartitionSpec:
    divisible = [axis for axis, n in enumerate(shape) if n % parts == 0]
    if parts == 1 or not divisible or int(np.prod(shape)) < minimum_size:
        return PartitionSpec()
    longest = max(divisible, key=lambda axis: shape[axis])
    return PartitionSpec(*(["fsdp" if axis == longest else None for axis in range(len(shape))]))


def _unknown_axes(spec: PartitionSpec) -> list[str]:
    axes = [names for names in spec if names is not None]
    flat = [name for names in axes for name in ((names,) if isinstance(names, str) else names)]
    return [name for name in flat if name not in AXES]


def _fits(shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh) -> bool:
    if len(spec) > len(shape):
        return False
    for size, names in zip(shape, spec, strict=False):
        names = () if names is None else (names,) if isinstance(names, str) else names
        if size % int(np.prod([mesh.shape[name] for name in names])):
            return False
    return True


def state_shardings(
    shapes: functional.Tree, mesh: Mesh, *, rules: Sequence[Rule] = DEFAULT_RULES
) -> functional.Tree:
    """Lays a whole training state out on the mesh: what belongs to a parameter follows it.

    Args:
      shapes: a dict with the key ``params`` and any others, such as the optimizer's state.
      mesh: from `make_mesh`.
      rules: as in `parameter_shardings`.

    Returns:
      A tree of shardings like ``shapes``. A leaf outside ``params`` whose path ends in the path of
      a parameter, and whose shape is the same, lies where the parameter lies; all others are
      repeated.
    """
    params = functional.paths(shapes["params"])
    layout = functional.paths(parameter_shardings(shapes["params"], mesh, rules=rules))

    def place(keys: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = [str(getattr(key, "key", getattr(key, "name", key))) for key in keys]
        for start in range(1, len(names)):
            path = "/".join(names[start:])
            if path in params and params[path].shape == leaf.shape:
                return layout[path]
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(place, shapes)


def shard_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Puts this host's part of a batch on its devices.

    Args:
      batch: numpy arrays, this host's rows only.
      mesh: from `make_mesh`.

    Returns:
      The same dict with global arrays, whose first axis is that of all hosts together.

    Raises:
      ValueError: the global batch cannot be split evenly.
    """
    sharding, parts = batch_sharding(mesh), batch_shards(mesh)

    def put(array: np.ndarray) -> jax.Array:
        rows = array.shape[0] * jax.process_count()
        if rows % parts:
            raise ValueError(
                f"batch: {rows} rows cannot be split evenly over data x fsdp = {parts} devices"
            )
        return jax.make_array_from_process_local_data(sharding, array)

    return jax.tree.map(put, batch)


def place(tree: functional.Tree, shardings: functional.Tree) -> functional.Tree:
    """Puts arrays that every process holds in full where they belong.

    Args:
      tree: numpy arrays.
      shardings: one for each of them, from `parameter_shardings`.

    Returns:
      The same tree of global arrays.
    """

    def put(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])

    return jax.tree.map(put, tree, shardings)


def microbatches(batch: Batch, count: int, *, mesh: Mesh) -> Batch:
    """Cuts a batch into ``count`` parts along a new first axis, inside a traced function.

    Part i holds the rows i, i + count, i + 2 count, ...: every device then cuts only what it
    already holds, where contiguous parts would have to move between devices.
    """

    def cut(array: jax.Array) -> jax.Array:
        parts = array.reshape(array.shape[0] // count, count, *array.shape[1:]).swapaxes(0, 1)
        return jax.lax.with_sharding_constraint(
            parts, NamedSharding(mesh, PartitionSpec(None, *BATCH))
        )

    return jax.tree.map(cut, batch)


def whole_batch(parts: Any, *, mesh: Mesh) -> Any:
    """The inverse of `microbatches`, for what was computed from its parts, row by row."""

    def join(array: jax.Array) -> jax.Array:
        rows = array.swapaxes(0, 1).reshape(-1, *array.shape[2:])
        return jax.lax.with_sharding_constraint(rows, batch_sharding(mesh))

    return jax.tree.map(join, parts)
