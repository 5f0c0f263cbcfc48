"""Lives of a training run: started, watched, disturbed, compared.

A life is the command ``ovs-jax train`` in a forked process, so that what takes seconds, importing
JAX, happens once. The parent never touches a device, which is what makes forking safe.
"""

import hashlib
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovs_jax.cli import train as _train  # noqa: F401  imported once, for all lives
from ovs_jax.cli.main import main
from ovs_jax.training import checkpoint, experiment  # noqa: F401  the same

PATIENCE = 600.0
"""Seconds after which a life counts as hanging."""
HUNG = -999


@dataclass(frozen=True)
class Life:
    """A process that trains.

    Attributes:
      pid: its number.
      log: the file that gets all it says.
    """

    pid: int
    log: Path

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def running(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, patience: float = PATIENCE) -> int:
        """Its exit status, negative for a signal; `HUNG` if it had to be killed."""
        end = time.monotonic() + patience
        while self.running():
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return HUNG
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def last_line(self) -> str:
        lines = [line for line in self.said().splitlines() if line.startswith("ovs-jax ")]
        return lines[-1] if lines else ""


def fork(work: Callable[[], int], log: Path) -> Life:
    """Does some work in a process of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of forking, which hurts only where it has run
        pid = os.fork()
    if pid:
        return Life(pid, log)
    status = 70
    try:
        file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@dataclass(frozen=True)
class Runs:
    """Lives with the same settings.

    Attributes:
      folder: holds the folders of the runs.
      words: experiment and settings of ``ovs-jax train``.
    """

    folder: Path
    words: tuple[str, ...]

    def start(
        self, name: str, *words: str, prepare: Callable[[], None] | None = None, log: str = "log"
    ) -> Life:
        """Begins, or goes on with, the run of a name."""
        workdir = self.folder / name

        def work() -> int:
            if prepare is not None:
                prepare()
            return main(["train", *self.words, f"--workdir={workdir}", *words])

        return fork(work, self.folder / f"{name}.{log}")

    def finish(self, name: str, *words: str) -> tuple[str, str]:
        """Goes on to the end. Returns the digest of the end state and what was said."""
        workdir, target = self.folder / name, self.folder / f"{name}.digest"

        def work() -> int:
            status = main(["train", *self.words, f"--workdir={workdir}", *words])
            target.write_text(digest(workdir) if status == 0 else f"status {status}")
            return status

        target.unlink(missing_ok=True)
        life = fork(work, self.folder / f"{name}.last_log")
        life.wait()
        return (target.read_text() if target.exists() else "died"), life.said()

    def digest(self, name: str) -> str:
        """Of a run that has ended."""
        target = self.folder / f"{name}.digest"

        def work() -> int:
            target.write_text(digest(self.folder / name))
            return 0

        status = fork(work, self.folder / f"{name}.digest_log").wait()
        return target.read_text() if status == 0 else f"no digest: {status}"


def digest(workdir: Path) -> str:
    """Of every bit of a run's newest checkpoint, and of the loss of every step."""
    step = max(steps(workdir))
    found = hashlib.sha256()
    for path, array in sorted(checkpoint.read_state(workdir / "checkpoints" / str(step)).items()):
        found.update(f"{path} {array.shape} {array.dtype}".encode() + array.tobytes())
    found.update(json.dumps([step, losses(workdir)]).encode())
    return found.hexdigest()[:16]


def steps(workdir: Path) -> list[int]:
    """The checkpoints of a run."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def losses(workdir: Path) -> dict[int, Any]:
    """The loss of every step that a run has recorded whole."""
    found, file = {}, workdir / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if "loss" in record:
            found[record["step"]] = record["loss"]
    return found


def wait_for(life: Life, workdir: Path, step: int) -> bool:
    """Waits until a run has recorded a step; False if it ended before."""
    while max(losses(workdir), default=0) < step:
        if not life.running():
            return False
        time.sleep(0.005)
    return True
