"""ZegFormer's training, compiled: one program, the same on one device and eight, and resumed."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from ovs_jax import parallel
from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping
from ovs_jax.nn import functional
from ovs_jax.training import checkpoint, experiment
from ovs_jax.training import state as states
from ovs_jax.training.checkpoint import load_model
from ovs_jax.training.config import RunConfig

STEPS = 9
TINY = [
    f"--config.{override}"
    for override in (
        "model.backbone.stem=8",
        "model.backbone.width=4",
        "model.pixel_decoder.width=16",
        "model.pixel_decoder.outputs=16",
        "model.transformer.width=16",
        "model.transformer.hidden=32",
        "model.transformer.queries=8",
        "model.transformer.decoder_layers=1",
        "batch_size=8",
        f"steps={STEPS}",
        "log_every=1",
        "checkpoint.every=3",
        "evaluation.source=none",
    )
]
pytestmark = pytest.mark.usefixtures("quickly_compiled")
NAME = "zegformer/synthetic:smoke"
ZERO = r"decoder/layers/0/(attention/(query|key)/.*|cross/key/bias)"
"""Parameters whose gradient is zero in real arithmetic, so that only rounding is there: segments
start at zero, hence all values of the first self-attention are the same whatever its weights; and a
bias of keys moves all logits of a query alike."""


def tiny() -> RunConfig:
    return from_mapping(RunConfig, experiments.load(NAME, TINY).to_dict())


def program(mesh: Mesh) -> tuple[states.Plan, Any]:
    """The plan and the step that a run of `tiny` compiles."""
    config = tiny()
    plan = experiment.make_plan(config, mesh, steps=STEPS, steps_per_epoch=1)
    return plan, experiment.run_step(config, plan, experiment.open_task(config).objective)


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    batches = experiment.open_task(tiny()).open_batches()
    first = next(batches)
    batches.close()
    return first


def drawn() -> functional.Tree:
    """Weights of one seed, whatever the devices."""
    config = tiny()
    build = experiment.registry.build(experiment.registry.from_dict(config.model))
    _, params, stats = functional.abstract(build)
    rng = np.random.default_rng(0)

    def draw(path: str, leaf: Any) -> np.ndarray:
        # Scales near one, and kernels that keep the size of what passes them.
        name, inputs = path.rsplit("/", 1)[-1], int(np.prod(leaf.shape[:-1])) or 1
        deviation = {"scale": 0.1, "bias": 0.1}.get(name, inputs**-0.5)
        return (rng.normal(0, deviation, leaf.shape) + (name == "scale")).astype(np.float32)

    flat = functional.paths(params)
    values = {path: draw(path, leaf) for path, leaf in flat.items()}
    scale = jax.tree.map(lambda leaf: np.full(leaf.shape, np.log(100), np.float32), stats)
    return {"params": functional.nest(values), "stats": scale}


def first_step(mesh: Mesh, batch: dict[str, np.ndarray]) -> tuple[Any, Any]:
    plan, step = program(mesh)
    weights = parallel.place(drawn(), {name: plan.shardings[name] for name in ("params", "stats")})
    state, metrics = step(states.begin(plan, weights), parallel.shard_batch(batch, mesh))
    return jax.device_get(state), jax.device_get(metrics)


def test_eight_devices_have_the_loss_and_gradients_of_one(batch: dict[str, np.ndarray]) -> None:
    one, metrics = first_step(parallel.make_mesh((1, 1, 1), devices=jax.devices()[:1]), batch)
    many, others = first_step(parallel.make_mesh((8, 1, 1)), batch)
    for name in ("loss", "loss/classification", "loss/mask", "loss/dice", "masks"):
        np.testing.assert_allclose(others[name], metrics[name], rtol=1e-6, err_msg=name)
    # After one step the first moment is a tenth of the clipped gradient.
    moments = [functional.paths(state["optimizer"][1].mu) for state in (one, many)]
    together = float(optax.tree.norm(moments[0]))
    for path, gradient in moments[0].items():
        if re.fullmatch(ZERO, path):
            assert max(np.linalg.norm(found[path]) for found in moments) < 1e-7 * together, path
        else:
            difference = np.linalg.norm(moments[1][path] - gradient)
            assert difference <= 1e-5 * np.linalg.norm(gradient), path
    assert sum(re.fullmatch(ZERO, path) is not None for path in moments[0]) == 5


def test_one_program_serves_all_numbers_of_masks(batch: dict[str, np.ndarray]) -> None:
    mesh = parallel.make_mesh((8, 1, 1))
    plan, step = program(mesh)
    weights = parallel.place(drawn(), {name: plan.shardings[name] for name in ("params", "stats")})
    state, losses = states.begin(plan, weights), []
    none = {
        "label": np.full_like(batch["label"], -1),
        "classes": np.full_like(batch["classes"], -1),
    }
    most = batch["classes"].shape[1]
    columns = np.arange(batch["label"].shape[2]) * most // batch["label"].shape[2]
    full = {
        "label": np.broadcast_to(columns, batch["label"].shape).astype(np.int32),
        "classes": np.broadcast_to(np.arange(most, dtype=np.int32), batch["classes"].shape),
    }
    for labels in ({}, none, full):
        state, metrics = step(state, parallel.shard_batch(batch | labels, mesh))
        losses.append((float(metrics["masks"]), bool(metrics["finite"])))
    assert losses[1:] == [(0.0, True), (float(most), True)]
    assert step._cache_size() == 1


def losses(workdir: Path) -> dict[int, float]:
    file = workdir / "metrics.jsonl"
    rows = map(json.loads, file.read_text().splitlines()) if file.exists() else ()
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def test_a_run_resumes_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    """What SIGKILL leaves is a finished checkpoint; the loop is that of tests/cli/test_train.py."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert experiment.run(tiny(), whole).finished
    last = f"checkpoints/{STEPS}"
    before = sorted((whole / "checkpoints").iterdir(), key=lambda step: int(step.name))[0]
    assert before.name != str(STEPS)
    shutil.copytree(before, killed / "checkpoints" / before.name)
    assert experiment.run(tiny(), killed).finished
    done = int(before.name)
    assert losses(killed) == {step: x for step, x in losses(whole).items() if step > done}
    first, second = (
        functional.paths(checkpoint.read(folder / last).weights) for folder in (whole, killed)
    )
    assert first.keys() == second.keys()
    for path, array in first.items():
        np.testing.assert_array_equal(array, second[path], err_msg=path)

    # What is left is enough to segment with: the classes, and what they are embedded with.
    loaded = load_model(killed)
    data = loaded.config["data"]
    assert (data["kind"], data["classes"], data["text"]) == ("labelled", "synthetic", "attributes")
    assert loaded.tokenizer == {}
