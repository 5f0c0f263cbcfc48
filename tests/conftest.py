"""Eight fake devices, strict ranks and one persistent compilation cache for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update(
    "jax_compilation_cache_dir", os.environ.get("JAX_CACHE", str(ROOT / ".jax_cache"))
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="module")
def quickly_compiled() -> Iterator[None]:
    """For tests that compile much, run little, and hold no number against a reference's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # for processes that a test starts
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs that stands beside a checkout."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real photographs: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference numbers kept in the repository."""
    return ROOT / "tests" / "golden"
