"""Machines by name: ``v5p:8x8x16`` for a slice of TPUs, ``cpu:8`` for devices of this computer."""

import logging
import math
import os
import re
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from ovs_jax.chips import TPUS, Chip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Topology:
    """A machine to plan for.

    Attributes:
      name: as given.
      dims: how many chips in each direction.
      chip: what is published of one; None for CPUs.
    """

    name: str
    dims: tuple[int, ...]
    chip: Chip | None

    @property
    def size(self) -> int:
        """The number of chips."""
        return math.prod(self.dims)

    @property
    def diameter(self) -> int:
        """Hops between the two chips that are farthest apart, in a torus."""
        return sum(n // 2 for n in self.dims)


def topology(name: str) -> Topology:
    """Reads a name.

    Raises:
      ValueError: no such chip, or no such shape of its slices.
    """
    kind, _, shape = name.partition(":")
    known = ", ".join(TPUS)
    if kind not in TPUS and kind != "cpu":
        raise ValueError(f"--topology: expected one of {known} or cpu before the colon: '{name}'")
    dims = tuple(map(int, shape.split("x"))) if re.fullmatch(r"\d+(x\d+)*", shape) else ()
    wanted = TPUS[kind].dimensions if kind in TPUS else 1
    if len(dims) != wanted or 0 in dims:
        example = {1: "8", 2: "4x4", 3: "4x4x4"}[wanted]
        raise ValueError(f"--topology: expected a shape such as {kind}:{example}, got '{name}'")
    return Topology(name, dims, TPUS.get(kind))


def prepare(machine: Topology) -> None:
    """Sets this process up to compile for a machine. Call it before anything touches a device.

    This computer's own accelerators, if it has any, are left alone.
    """
    jax.config.update("jax_platforms", "cpu")
    if machine.chip is None:
        jax.config.update("jax_num_cpu_devices", machine.size)
        return
    # Programs for chips that are not there could be kept, but not be read again.
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it asks for the setting once a process
    # libtpu looks for the TPUs of the machine it is on, and complains where there are none.
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"
    # Only compiling, several processes may use it at once.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_STDERR_LOG_LEVEL", "3")
    os.environ.setdefault("TPU_MIN_LOG_LEVEL", "3")


def devices(machine: Topology) -> list[Any]:
    """The devices to compile for; those of a TPU slice can compile and nothing else.

    Raises:
      ImportError: TPUs, and the TPU compiler is not installed.
      ValueError: the compiler knows no such slice, or JAX had started before `prepare`.
    """
    if machine.chip is None:
        found = jax.devices("cpu")
        if len(found) != machine.size:
            raise ValueError(
                f"--topology: expected {machine.size} CPU devices, but JAX has started with "
                f"{len(found)}"
            )
        return found
    if not installed():
        raise ImportError(
            f"--topology: {machine.name} needs the TPU compiler. Install it with pip install "
            f"'ovs-jax[plan]' (no TPU needed; the release that belongs to jax {jax.__version__})"
        )
    from jax.experimental import topologies

    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=machine.name)
    except Exception as error:  # libtpu's own, of several types
        raise ValueError(f"--topology: libtpu refuses {machine.name}: {error}") from error
    return list(described.devices)


def installed() -> bool:
    """Whether the TPU compiler is there."""
    import importlib.util

    return importlib.util.find_spec("libtpu") is not None
