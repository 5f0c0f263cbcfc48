"""``ovs-jax train`` from end to end: experiments, resuming, stages, and what can be wrong."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from ovs_jax.cli.main import main
from ovs_jax.nn import functional
from ovs_jax.training import checkpoint
from ovs_jax.training.checkpoint import load_model
from tests.data.damage import damaged_folder, damaged_images

pytestmark = pytest.mark.usefixtures("quickly_compiled")
ROOT = Path(__file__).resolve().parents[2]
STEPS = 40
SMALL = ("model.encoder.depths=(0,0)", "model.entity=false", "objective.entity=0")
"""Overrides that make the model quicker to compile."""


def words(name: str, workdir: Path, *overrides: str) -> list[str]:
    return ["train", f"--config={name}", f"--workdir={workdir}", *overrides]


def records(workdir: Path) -> list[dict[str, Any]]:
    file = workdir / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def losses(workdir: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in records(workdir) if "loss" in row}


def start(workdir: Path) -> subprocess.Popen[str]:
    """Starts a run on one device, which logs every step and saves every third."""
    settings = (f"steps={STEPS}", "log_every=1", "checkpoint.every=3", "evaluation.source=none")
    settings += ("data.slices=2",)
    overrides = [f"--config.{setting}" for setting in (*settings, *SMALL)]
    cache = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    return subprocess.Popen(
        [sys.executable, "-m", "ovs_jax", *words("quickstart/stage1:smoke", workdir, *overrides)],
        cwd=ROOT,
        env=os.environ | cache,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(run: subprocess.Popen[str], workdir: Path, step: int) -> None:
    """Waits until a run has logged a step."""
    while max(losses(workdir), default=0) < step:
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of stage 1 that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    run = start(workdir)
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    return workdir


def test_however_a_run_is_stopped_it_resumes_to_the_same_bits(tmp_path: Path, whole: Path) -> None:
    run = start(tmp_path)
    wait_for(run, tmp_path, 5)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL

    run = start(tmp_path)
    wait_for(run, tmp_path, 20)
    run.send_signal(signal.SIGTERM)
    said, errors = run.communicate()
    assert run.returncode == 0, errors
    last = max(losses(tmp_path))
    assert f"stopped at step {last}, which is saved" in said
    assert f"saved step {last} of {STEPS}" in errors
    assert (tmp_path / "checkpoints" / str(last)).is_dir()

    run = start(tmp_path)
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert f"resumed at step {last}" in errors
    # The loss of every step is that of its batch: the order of the data is the same too.
    assert losses(tmp_path) == losses(whole)
    name = f"checkpoints/{STEPS}"
    first, second = (
        functional.paths(checkpoint.read(folder / name).weights) for folder in (tmp_path, whole)
    )
    assert first.keys() == second.keys()
    for path, array in first.items():
        np.testing.assert_array_equal(array, second[path], err_msg=path)


def test_the_second_stage_starts_from_the_first(tmp_path: Path, whole: Path) -> None:
    overrides = [f"--config.{setting}" for setting in (*SMALL, f"init.checkpoint={whole}")]
    assert main(words("quickstart/stage2:smoke", tmp_path, *overrides)) == 0
    before, after = load_model(whole), load_model(tmp_path)
    jax.tree.map(
        np.testing.assert_array_equal, before.params["text_encoder"], after.params["text_encoder"]
    )
    rows = [row for row in records(tmp_path) if "loss" in row]
    assert all(np.isfinite(row["loss/mask"]) for row in rows)
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()),
        before.params["image_encoder"],
        after.params["momentum_encoder"],
    )
    # It follows the image encoder slowly: a few steps of it are far less than a step's rate.
    assert 0 < max(jax.tree.leaves(moved)) < 1e-3


def test_an_experiment_runs_to_its_end_on_damaged_data(tmp_path: Path) -> None:
    name, photos = "groupvit/gcc_yfcc:smoke", tmp_path / "photos"
    encoded = io.BytesIO()
    Image.new("RGB", (40, 40)).save(encoded, "JPEG")
    damage = damaged_folder(photos, [(encoded.getvalue(), "a dog and a cat")] * 23)
    data = ("checkpoint.keep=9", f"data.source={photos}", "data.max_bad_share=1")
    assert main(words(name, tmp_path, *(f"--config.{setting}" for setting in data))) == 0
    position = json.loads((tmp_path / "checkpoints/8/data/process_0-of-1.json").read_text())
    assert position["seen"] == 8 * 16
    # Four epochs of 32 records, of which the nine that cannot be decoded are met in each, and more
    # often where one takes the place of another.
    assert damage.dropped.total() == 13
    assert set(position["bad"]) == {reason for _, reason in damaged_images().values()}
    assert sum(position["bad"].values()) >= 4 * 9
    assert list(losses(tmp_path)) == [2, 4, 6, 8]
    scores = [row for row in records(tmp_path) if "evaluation/mean_iou" in row]
    assert [row["step"] for row in scores] == [4, 8]
    best = max(scores, key=lambda row: (row["evaluation/mean_iou"], row["step"]))
    loaded = load_model(tmp_path)
    assert loaded.step == best["step"]
    assert loaded.tokenizer["kind"] == "wordpiece"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == loaded.config
    assert config["model"]["name"] == "groupvit"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.source=/nowhere.tsv", "/nowhere.tsv does not exist"),
        ("data.tokenizer=wordpiece:/nowhere", "/nowhere"),
        ("init.checkpoint=/nowhere", "init.checkpoint: /nowhere holds no usable checkpoint"),
        ("evaluation.source=benchmark", "evaluation.folder: expected the folder"),
        (
            "batch_size=12",
            "batch_size: expected a multiple of data x fsdp x accumulate = 8, got 12",
        ),
        (
            "data.text_length=64",
            "data.text_length: expected at most model.text.length = 32, got 64",
        ),
        ("model.text.vocabulary=100", "model.text.vocabulary: expected at least the"),
        ("parallel.data=3", "does not fill 8 devices"),
        ("optimizer.frozen=('.*',)", "optimizer.frozen: every parameter is frozen"),
        ("schedule.warmup_steps=99", "schedule.warmup_steps: expected 0 to 8"),
        ("model.encoder.depths=(1,)", "encoder: depths"),
        ("batch_size=512", "batch_size 512 is more than the 256 usable records"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    assert main(words("quickstart/stage1:smoke", tmp_path / "run", f"--config.{override}")) == 2
    shown = capsys.readouterr().err
    told = [line for line in shown.splitlines() if line.startswith("ovs-jax train: ")]
    assert len(told) == 1
    assert message in told[0]
    assert "Traceback" not in shown
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_checkpoint_of_another_architecture_is_one_line(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "--config.model.encoder.width=64"
    assert main(words("quickstart/stage1:smoke", whole, other)) == 2
    assert "is of another architecture than the config" in capsys.readouterr().err
    first = f"--config.init.checkpoint={whole}"
    assert main(words("quickstart/stage1:smoke", tmp_path, other, first)) == 2
    assert "cannot fill bridge_projector/" in capsys.readouterr().err


def test_experiments_and_fields_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list"]) == 0
    assert "quickstart/stage1" in capsys.readouterr().out
    assert main(["train", "--config=quickstart/stage1", "--show", "--config.seed=3"]) == 0
    assert "seed = 3\n" in capsys.readouterr().out
    assert main(["train"]) == 2
    assert "--config is missing; --list prints" in capsys.readouterr().err
    assert main(["train", "--config=quickstart/stage1"]) == 2
    assert "--workdir is missing" in capsys.readouterr().err
