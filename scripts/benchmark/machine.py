"""The machine: threads and memory. Importing this does not start JAX."""

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def limit_threads(count: int) -> str:
    """Keeps this process, and every library it loads later, on ``count`` cores.

    XLA's CPU backend has no thread option: its pools get one thread a core that the process may run
    on. Call it before JAX or PyTorch is imported.

    Returns:
      A sentence on how it was done.

    Raises:
      ValueError: the system cannot do it, has fewer cores, or a library is loaded already.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("--threads: this system has no processor affinity, only Linux has")
    if {"jax", "torch"} & sys.modules.keys():
        raise ValueError("--threads: JAX or PyTorch is loaded already, so the limit would not hold")
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(cores):
        raise ValueError(f"--threads: got {count}, expected 1 to the {len(cores)} cores here")
    os.sched_setaffinity(0, cores[:count])
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)
    return (
        f"{count} threads each: the process may run on {count} of {len(cores)} cores "
        f"(sched_setaffinity, which sizes XLA's thread pools) and torch.set_num_threads({count})"
    )


def forget_peak_memory() -> None:
    """Starts the count of `peak_memory` again, where the system allows it (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> int:
    """Most memory that the process held, in bytes, since `forget_peak_memory` or its start."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def processor() -> str:
    """The name of the processor."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe() -> dict[str, Any]:
    """Hardware, versions and how busy the machine was, for tables and files."""
    import jax

    devices = jax.devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processor": processor(),
        "cores": cores,
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "flax", "optax")},
    }
