"""Runs of two processes, each with its own device and its own part of every batch."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def train(folder: Path, steps: int, *, processes: int) -> dict[str, np.ndarray]:
    """The weights after a number of steps of a run in a folder."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.one_process", str(folder), str(steps)]
    started = [
        subprocess.Popen(
            [*command, str(process), str(processes), str(port)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]
    for run in started:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors
    return dict(np.load(folder / f"weights_{steps}.npz"))


def test_two_processes_train_and_resume_like_one(tmp_path: Path) -> None:
    train(tmp_path / "two", 2, processes=2)
    assert len(list((tmp_path / "two/checkpoints/2/data").glob("process_*-of-2.json"))) == 2
    two = train(tmp_path / "two", 4, processes=2)
    one = train(tmp_path / "one", 4, processes=1)
    assert two.keys() == one.keys()
    for path, array in one.items():
        np.testing.assert_allclose(two[path], array, rtol=1e-5, atol=1e-6, err_msg=path)
    read = [
        json.loads((tmp_path / f"{run}/records_{process}.json").read_text())
        for run, process in (("one", 0), ("two", 0), ("two", 1))
    ]
    # Each process read its own half of the data, images of partners included.
    assert read == [list(range(24)), list(range(12)), list(range(12, 24))]
