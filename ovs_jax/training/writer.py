"""The log of a run: a line of JSON a record, TensorBoard where it is installed, lines to read."""

import json
import logging
import math
from collections.abc import Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
BOARD_FOLDER = "tensorboard"
SHORT = {
    "gradient_norm": "grad",
    "learning_rate": "lr",
    "logit_scale": "scale",
    "group_entropy": "entropy",
    "largest_group_share": "largest",
    "images_per_second": "images/s",
    "data_wait": "wait",
}
"""What the readable lines call things."""
QUIET = ("finite", "seconds")


class Writer:
    """Writes records of numbers by step.

    ``metrics.jsonl`` in the run's folder gets one JSON object a line, with ``step`` and every
    number under its full name. A number that is not finite is written as null.
    """

    def __init__(self, workdir: Path, *, step: int, steps: int, enabled: bool = True) -> None:
        """Opens the log of a run.

        Args:
          workdir: the run's folder.
          step: where the run stands. Records of later steps, from a life of the run that was cut
            short after its last checkpoint, are dropped: they will be written again.
          steps: of the whole run.
          enabled: whether this process writes at all.
        """
        self._steps = steps
        self._file: Any = None
        self._board: Any = None
        if not enabled:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / FILE
        drop_after(path, step)
        self._file = path.open("a", encoding="utf-8")
        if util.find_spec("tensorboardX"):
            board = import_module("tensorboardX").SummaryWriter
            self._board = board(str(workdir / BOARD_FOLDER), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one record and shows it as a line.

        Args:
          step: optimizer steps done.
          values: numbers by name; a slash groups them.
        """
        if self._file is None:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step} | finite) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        logger.info("step %d/%d  %s", step, self._steps, readable(values))

    def close(self) -> None:
        """Finishes the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def drop_after(path: Path, step: int) -> None:
    """Removes the records after a step, and a last line that was cut off, from a JSONL file."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            logger.warning("%s: dropped a line that is not a record: %.60s", path, line)
    complete = path.with_suffix(".tmp")
    complete.write_text("".join(kept), encoding="utf-8")
    complete.replace(path)


def readable(values: Mapping[str, float]) -> str:
    """Numbers as a line: the loss with its parts first, then the rest under short names."""
    parts = {name: value for name, value in values.items() if name.startswith("loss/")}
    words = []
    if "loss" in values:
        inner = ", ".join(f"{name[5:]} {number(value)}" for name, value in parts.items())
        words.append(f"loss {number(values['loss'])}" + (f" ({inner})" if inner else ""))
    for name, value in values.items():
        if name != "loss" and name not in parts and name not in QUIET:
            words.append(f"{SHORT.get(name, name)} {number(value)}")
    return "  ".join(words)


def number(value: float) -> str:
    """Four significant digits, without an exponent where it is not needed."""
    if value != 0 and math.isfinite(value) and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.4g}"
