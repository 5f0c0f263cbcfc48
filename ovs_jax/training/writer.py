"""The log of a run: a line of JSON a record, TensorBoard where it is installed, lines to read."""

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
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
    "step_seconds/p50": "p50",
    "step_seconds/p95": "p95",
    "model_flops_per_second": "FLOP/s",
    "skipped_steps": "skipped",
}
"""What the readable lines call things."""
QUIET = ("finite", "time")
QUIET_GROUPS = ("seconds/", "memory/")


@dataclass(frozen=True)
class Life:
    """What a run's records tell of it up to a step.

    Attributes:
      began: when the run was first started, in seconds since 1970.
      useful: seconds of steps that are part of it (`meter.Meter.take`).
    """

    began: float
    useful: float


class Writer:
    """Writes records of numbers by step.

    ``metrics.jsonl`` in the run's folder gets one JSON object a line, with ``step`` and every
    number under its full name. A number that is not finite is written as null. Each has the
    ``time`` it was written at, in seconds since 1970, and ``seconds/wall`` since the run was first
    started, the time that it stood still included.

    Attributes:
      life: what the records up to the step at which the log was opened tell.
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
        self.life = Life(time.time(), 0.0)
        if not enabled:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / FILE
        self.life = read_life(path, step)
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
        now = time.time()
        wall = now - self.life.began
        values = {**values, "seconds/wall": wall, "time": now}
        if "seconds/useful" in values:
            values["goodput"] = min(values["seconds/useful"] / max(wall, 1e-9), 1.0)
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


def read_life(path: Path, step: int) -> Life:
    """What the records of a log tell of its run.

    Args:
      path: a JSONL file, which need not be there.
      step: where the run stands; later records tell when it began, but no useful time.
    """
    began, useful = time.time(), 0.0
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
            began = min(began, record["time"] - record["seconds/wall"])
            if record["step"] <= step:
                useful = record.get("seconds/useful", useful)
        except (ValueError, KeyError, TypeError):
            continue
    return Life(began, useful)


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
        quiet = name in QUIET or name.startswith(QUIET_GROUPS)
        if name != "loss" and name not in parts and not quiet:
            words.append(f"{SHORT.get(name, name)} {number(value)}")
    return "  ".join(words)


def number(value: float) -> str:
    """Four significant digits, without an exponent where it is not needed."""
    if value != 0 and math.isfinite(value) and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.4g}"
