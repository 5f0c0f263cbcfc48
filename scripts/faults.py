"""Injects faults into training runs and prints what came of them as a Markdown table.

    python scripts/faults.py                       everything, each fault several times
    python scripts/faults.py --only kill nan --times 3
    python scripts/faults.py --json faults.json
    python scripts/faults.py --config zegformer/synthetic:smoke --only kill

Runs are those of a nano model on the synthetic world, saved every third step of 40. "Same bits"
means that after the fault the same command was given again, and that all arrays of the last
checkpoint, and the loss of every step, are then those of a run that nothing disturbed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fault_injection import lives
from fault_injection.lives import Life, Runs, losses, steps, wait_for

STEPS = 40
SETTINGS = (
    f"steps={STEPS}", "log_every=1", "checkpoint.every=3", "evaluation.source=none",
    "data.slices=2",
)  # fmt: skip
EXPERIMENTS = {
    "quickstart/stage1:smoke": (
        "model.encoder.depths=(0,0)", "model.entity=false", "objective.entity=0",
    ),
    "zegformer/synthetic:smoke": ("model.transformer.decoder_layers=1", "data.recipe.size=32"),
}  # fmt: skip
"""What is trained, and what makes it faster."""
PEER_PATIENCE = 300.0
"""Seconds in which the process that is left must notice that the other is gone."""


@dataclass(frozen=True)
class Result:
    """What came of one fault.

    Attributes:
      good: whether it was what should come of it.
      note: in which phase it struck, or what was said.
    """

    good: bool
    note: str


class Laboratory:
    """Undisturbed runs to compare with, made when they are first needed."""

    def __init__(self, folder: Path, config: str, *, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        settings = (*SETTINGS, *EXPERIMENTS[config])
        words = (f"--config={config}", *(f"--config.{each}" for each in settings))
        self.runs = Runs(folder, words)

    @cached_property
    def whole(self) -> tuple[str, float]:
        """Digest and seconds of a run that nothing disturbs (the second: its programs are kept)."""
        self.runs.finish("first")
        start = time.monotonic()
        digest, _ = self.runs.finish("whole")
        return digest, time.monotonic() - start

    @cached_property
    def half(self) -> Path:
        """A run that was stopped in the middle."""
        life = self.runs.start("half")
        wait_for(life, self.folder / "half", STEPS // 2)
        life.send(signal.SIGTERM)
        life.wait()
        return self.folder / "half"

    def ends_alike(self, name: str) -> tuple[bool, str]:
        digest, said = self.runs.finish(name)
        return digest == self.whole[0], said

    # Each fault: a run of its own, disturbed, then finished and compared.

    def kill(self, index: int) -> Result:
        """kill -9 at a random instant"""
        name, life = f"kill{index}", self.runs.start(f"kill{index}")
        step = self.random.randrange(STEPS)  # 0: while it starts
        if step:
            wait_for(life, self.folder / name, step)
        time.sleep(self.random.uniform(0, 0.2 if step else self.whole[1] / 2))
        done = not life.running()
        if not done:
            life.send(signal.SIGKILL)
        life.wait()
        at = max(losses(self.folder / name), default=0)
        good, _ = self.ends_alike(name)
        return Result(good and not done, "ended before" if done else f"step {at}")

    def sigterm(self, index: int) -> Result:
        """SIGTERM"""
        name = f"sigterm{index}"
        life = self.runs.start(name)
        wait_for(life, self.folder / name, self.random.randint(1, STEPS - 5))
        life.send(signal.SIGTERM)
        status, saved = life.wait(), max(steps(self.folder / name))
        told = f"stopped at step {saved}, which is saved" in life.said()
        good, _ = self.ends_alike(name)
        return Result(good and told and status == 0, f"status {status}, step {saved} saved")

    def _damaged(self, name: str, damage: Callable[[Path], str]) -> Result:
        shutil.copytree(self.half, self.folder / name)
        newest = max(steps(self.folder / name))
        what = damage(self.folder / name / "checkpoints" / str(newest))
        good, said = self.ends_alike(name)
        aside = "is unusable and is put aside" in said
        return Result(good, f"{what}: " + ("put aside, the step before used" if aside else "used"))

    def truncated(self, index: int) -> Result:
        """truncated file in the newest checkpoint"""

        def damage(step: Path) -> str:
            files = sorted(f for f in step.rglob("*") if f.is_file() and f.stat().st_size > 1)
            file = files[self.random.randrange(len(files))]
            size = file.stat().st_size
            os.truncate(file, self.random.randrange(size))
            return str(file.relative_to(step).parts[0])

        return self._damaged(f"truncated{index}", damage)

    def deleted(self, index: int) -> Result:
        """deleted file in the newest checkpoint"""

        def damage(step: Path) -> str:
            files = sorted(f for f in step.rglob("*") if f.is_file())
            file = files[self.random.randrange(len(files))]
            file.unlink()
            return str(file.relative_to(step).parts[0])

        return self._damaged(f"deleted{index}", damage)

    def empty(self, index: int) -> Result:
        """empty step directory"""

        def damage(step: Path) -> str:
            step.with_name(str(int(step.name) + 1)).mkdir()
            return "empty step"

        return self._damaged(f"empty{index}", damage)

    def disk(self, index: int) -> Result:
        """disk full during a save (a small tmpfs)"""
        name = f"disk{index}"
        workdir = self.folder / name
        workdir.mkdir()
        size = self.random.randint(500, 1500)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(workdir)],
            capture_output=True,
            text=True,
        )
        if mounted.returncode:
            return Result(False, f"not tried: {mounted.stderr.strip()}")
        try:
            life = self.runs.start(name)
            status = life.wait()
            told = "No space left" in life.last_line() or "space" in life.last_line().lower()
            subprocess.run(["mount", "-o", "remount,size=1g", str(workdir)], check=True)
            at = max(losses(workdir), default=0)
            good, _ = self.ends_alike(name)
            note = f"status {status} after step {at}" + ("" if told else ", not told in one line")
            return Result(good and status == 2 and told, note)
        finally:
            subprocess.run(["umount", str(workdir)], check=True)

    def shard(self, index: int) -> Result:
        """corrupt shard"""
        source = self.folder / "shards"
        if not source.exists():
            log = self.folder / "ingest.log"
            lives.fork(lambda: _make_shards(self.folder / "photos", source), log).wait()
        damaged = self.folder / f"shards{index}"
        shutil.copytree(source, damaged)
        file = sorted(damaged.glob("*.array_record"))[0]
        content = bytearray(file.read_bytes())
        for _ in range(3):
            content[self.random.randrange(len(content))] ^= 0xFF
        file.write_bytes(content)
        words = (f"--config.data.source={damaged}", "--config.data.prompt_words=nouns")
        life = self.runs.start(f"shard{index}", *words, "--config.data.max_bad_share=0.5")
        status = life.wait()
        if status == 0:
            bad = life.said().count("passed over photo") + life.said().count("unreadable record")
            return Result(True, "its unreadable records are passed over" if bad else "not met")
        return Result(status == 2 and bool(life.last_line()), f"refused: {life.last_line()[17:80]}")

    def nan(self, index: int) -> Result:
        """NaN batches: two, then from a step on"""
        first = self.random.randint(5, 20)
        name = f"nan{index}"
        life = self.runs.start(name, prepare=lambda: _spoil({first, first + 1}))
        status = life.wait()
        skipped = life.said().count("is not finite and is skipped")
        passing = status == 0 and skipped == 2
        shutil.rmtree(self.folder / name)
        life = self.runs.start(name, prepare=lambda: _spoil(set(range(first, STEPS))))
        status = life.wait()
        told = "the last good checkpoint is" in life.last_line()
        good, _ = self.ends_alike(name)
        note = f"2 skipped; from step {first + 1} on: status {status}, last good checkpoint named"
        return Result(passing and good and told and status == 2, note)

    def peer(self, index: int) -> Result:
        """one of two processes killed"""
        expected = self._pair_digest
        name = f"peer{index}"
        pair = self._start_pair(name)
        wait_for(pair[0], self.folder / name, self.random.randint(2, STEPS - 10))
        victim = index % 2
        pair[victim].send(signal.SIGKILL)
        start = time.monotonic()
        pair[victim].wait()
        left = pair[1 - victim].wait(PEER_PATIENCE)
        seconds = time.monotonic() - start
        for life in self._start_pair(name):
            life.wait()
        good = self.runs.digest(name) == expected
        note = f"process {victim} killed, the other ended after {seconds:.0f} s"
        return Result(good and left not in (0, lives.HUNG), note)

    @cached_property
    def _pair_digest(self) -> str:
        for life in self._start_pair("pair"):
            life.wait()
        return self.runs.digest("pair")

    def _start_pair(self, name: str) -> list[Life]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]

        def prepare(process: int) -> None:
            os.environ["JAX_COORDINATOR_ADDRESS"] = f"localhost:{port}"
            os.environ["JAX_NUM_PROCESSES"], os.environ["JAX_PROCESS_ID"] = "2", str(process)

        return [
            self.runs.start(name, prepare=lambda i=process: prepare(i), log=f"log{process}")
            for process in range(2)
        ]


FAULTS: dict[str, tuple[Callable[[Laboratory, int], Result], int, str]] = {
    "kill": (Laboratory.kill, 20, "same bits"),
    "sigterm": (Laboratory.sigterm, 5, "saved, exit status 0, step named; same bits"),
    "truncated": (Laboratory.truncated, 5, "same bits"),
    "deleted": (Laboratory.deleted, 5, "same bits"),
    "empty": (Laboratory.empty, 2, "same bits"),
    "disk": (Laboratory.disk, 3, "stops with one line; with space again, same bits"),
    "shard": (Laboratory.shard, 3, "bad records passed over, or refused in one line"),
    "nan": (Laboratory.nan, 3, "skipped; or rolled back and stopped, then same bits"),
    "peer": (Laboratory.peer, 2, "the other ends too; started again, same bits"),
}


def _spoil(wanted: set[int]) -> None:
    """Makes the images of some batches NaN, by step from 0 on."""
    from ovs_jax.data.pipeline import TrainingBatches

    take = TrainingBatches.__next__

    def spoilt(self: Any) -> Any:
        step, batch = self.step, take(self)
        if step in wanted:
            batch["image"] = np.full(batch["image"].shape, np.nan, np.float32)
        return batch

    TrainingBatches.__next__ = spoilt


def _make_shards(photos: Path, target: Path) -> int:
    """Ingests scenes of the synthetic world as if they were photos."""
    from PIL import Image

    from ovs_jax.cli.main import main
    from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig

    photos.mkdir()
    world = SyntheticWorld(WorldConfig(size=48), seed=0, length=64)
    rows = ["image\tcaption"]
    for index in range(len(world)):
        record = world[index]
        Image.fromarray(record["image"]).save(photos / f"{index}.png")
        rows.append(f"{index}.png\t{record['caption']}")
    (photos / "table.tsv").write_text("\n".join(rows) + "\n")
    return main(["data", "ingest", str(photos / "table.tsv"), str(target)])


def table(found: dict[str, list[Result]]) -> str:
    """The Markdown table."""
    lines = ["| fault | times | as it should be | result |", "|---|---|---|---|"]
    for name, results in found.items():
        fault, _, wanted = FAULTS[name]
        good = sum(result.good for result in results)
        notes = ", ".join(dict.fromkeys(result.note for result in results))
        lines.append(f"| {fault.__doc__} | {len(results)} | {good}: {wanted} | {notes} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Injects, prints; 1 if something did not come out as it should."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", choices=EXPERIMENTS, default=next(iter(EXPERIMENTS)))
    parser.add_argument("--only", nargs="+", choices=FAULTS)
    parser.add_argument("--times", type=int, help="how often each; by default as in FAULTS")
    parser.add_argument("--seed", type=int, default=0, help="of instants, files and steps")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the runs in this folder")
    parsed = parser.parse_args(arguments)
    folder = parsed.keep or Path(tempfile.mkdtemp(prefix="faults_"))
    folder.mkdir(parents=True, exist_ok=True)
    laboratory, found = Laboratory(folder, parsed.config, seed=parsed.seed), {}
    print(f"undisturbed: {laboratory.whole[1]:.1f} s, {laboratory.whole[0]}", flush=True)
    captions = not parsed.config.startswith("zegformer")  # what the shards hold
    for name in parsed.only or [fault for fault in FAULTS if captions or fault != "shard"]:
        fault, times, _ = FAULTS[name]
        found[name] = []
        for index in range(parsed.times or times):
            found[name].append(fault(laboratory, index))
            print(f"{name} {index}: {found[name][-1]}", file=sys.stderr, flush=True)
    print(table(found))
    if parsed.json:
        rows = {name: [vars(result) for result in results] for name, results in found.items()}
        parsed.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if not parsed.keep:
        shutil.rmtree(folder)
    return 0 if all(result.good for results in found.values() for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
