"""The folder of a run: what is in it before, and what a run that came to nothing leaves."""

import shutil
from pathlib import Path

from ovs_jax.training.checkpoint import FOLDER as CHECKPOINTS
from ovs_jax.training.writer import BOARD_FOLDER
from ovs_jax.training.writer import FILE as METRICS_FILE

CONFIG_FILE = "config.json"


def existing(workdir: Path) -> frozenset[Path]:
    """What is in a run's folder, with the folders above it that are there."""
    parents = (path for path in (workdir, *workdir.parents) if path.exists())
    return frozenset((*parents, *(workdir.iterdir() if workdir.is_dir() else ())))


def discard_fruitless(workdir: Path, *, before: frozenset[Path]) -> None:
    """Removes what a failed run has made, unless it came to a record or a checkpoint.

    Args:
      workdir: the run's folder.
      before: from `existing`, before the run.
    """
    metrics = workdir / METRICS_FILE
    recorded = metrics.is_file() and metrics.stat().st_size > 0
    if recorded or any((workdir / CHECKPOINTS).glob("*")):
        return
    made = [workdir / name for name in (CONFIG_FILE, METRICS_FILE, BOARD_FOLDER, CHECKPOINTS)]
    for path in made:
        if path not in before and path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder in (workdir, *workdir.parents):
        if folder in before or not folder.is_dir() or any(folder.iterdir()):
            break
        folder.rmdir()
