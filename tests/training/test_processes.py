"""Runs of two and four real processes, each with two devices and its own part of every batch."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ovs_jax.training import checkpoint
from ovs_jax.training.state import Plan
from tests.training.one_process import HALF, STEPS, prepared
from tests.training.stand_in import train

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ("loss", "loss/matching", "gradient_norm", "temperature", "learning_rate")


@dataclass(frozen=True)
class Alone:
    """A run of one process, and what it was made with."""

    folder: Path
    plan: Plan
    step: Any


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """A run of this process alone, on four devices."""
    folder = tmp_path_factory.mktemp("runs")
    plan, step = prepared((2, 2, 1))
    train(plan, step, folder, steps=STEPS, save_every=HALF)
    return Alone(folder, plan, step)


def halfway(source: Path, target: Path) -> None:
    """Makes a run's folder as it was at step `HALF`."""
    shutil.copytree(source / "checkpoints" / str(HALF), target / "checkpoints" / str(HALF))
    shutil.copy(source / "metrics.jsonl", target)


def launch(folder: Path, processes: int) -> None:
    """Trains in a folder with several processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.one_process", str(folder)]
    started = [
        subprocess.Popen(
            [*command, str(process), str(processes), str(port)],
            cwd=ROOT,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir},
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]
    for run in started:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors


def records(folder: Path) -> dict[int, dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {record["step"]: record for record in map(json.loads, lines)}


def assert_same_run(folder: Path, alone: Path) -> None:
    """Every step's loss and gradient, and what came of them, are those of one process."""
    expected, found = records(alone), records(folder)
    assert list(found) == list(expected) == list(range(1, STEPS + 1))
    for step, record in found.items():
        for name in MEASURED:
            np.testing.assert_allclose(
                record[name], expected[step][name], rtol=1e-5, err_msg=f"{name} of step {step}"
            )
    for step in (HALF, STEPS):
        # Parameters, batch statistics and moments, which are running means of the gradients.
        name = f"checkpoints/{step}"
        wanted, held = checkpoint.read_state(alone / name), checkpoint.read_state(folder / name)
        assert wanted.keys() == held.keys()
        for path, array in wanted.items():
            np.testing.assert_allclose(
                held[path], array, rtol=1e-5, atol=1e-6, err_msg=f"{path} at step {step}"
            )


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_train_and_resume_as_one_does(
    alone: Alone, tmp_path: Path, processes: int
) -> None:
    halfway(alone.folder, tmp_path / "resumed")
    launch(tmp_path, processes)
    for process in range(processes):
        agreed = json.loads((tmp_path / f"agreed_{process}.json").read_text())
        assert agreed == [processes - 1, 0, 10 * (processes - 1)]
    assert_same_run(tmp_path / "whole", alone.folder)
    # What one process has begun, several have ended ...
    files = list((tmp_path / "resumed/checkpoints" / str(STEPS) / "data").glob("process_*"))
    assert len(files) == processes
    assert_same_run(tmp_path / "resumed", alone.folder)
    # ... and the reverse.
    back = tmp_path / "back"
    halfway(tmp_path / "whole", back)
    train(alone.plan, alone.step, back, steps=STEPS, save_every=HALF)
    assert_same_run(back, alone.folder)
