"""The per-pixel baseline as a whole: trained, loaded and judged as every model is."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ovs_jax
from ovs_jax.cli import config as experiments
from ovs_jax.data.synthetic.attributes import embed
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.pixel_segmenter import PixelSegmenter
from ovs_jax.losses.masks import enlarge
from ovs_jax.mapping import from_mapping
from ovs_jax.training import experiment
from ovs_jax.training.config import RunConfig
from ovs_jax.training.labelled_task import LabelledTask
from ovs_jax.training.mask_objective import PixelObjective

pytestmark = pytest.mark.usefixtures("quickly_compiled")
NAME = "zegformer/pixel_baseline:smoke"
TINY = (
    "model.backbone.stem=8", "model.backbone.width=4", "model.pixel_decoder.width=16",
    "model.pixel_decoder.outputs=16", "batch_size=8", "steps=12", "log_every=1",
    "data.recipe.size=32", "evaluation.every=0", "evaluation.limit=2", "checkpoint.every=12",
    "optimizer.clip_norm=1.0", "optimizer.rates=()", "schedule.shape=cosine",
    "schedule.learning_rate=3e-3", "data.world.object_classes=('ball',)",
    "data.world.stuff_classes=('grass',)",
)  # fmt: skip
CLASSES = ("red ball", "yellow ball", "green ball", "blue ball", "purple ball", "grass")
"""Of the world above; programs that are compiled for so many serve all tests here."""


def tiny(*overrides: str) -> RunConfig:
    words = [f"--config.{override}" for override in (*TINY, *overrides)]
    return from_mapping(RunConfig, experiments.load(NAME, words).to_dict())


def test_a_run_learns_and_what_it_leaves_segments_any_words(tmp_path: Path) -> None:
    outcome = experiment.run(tiny(), tmp_path)
    assert outcome.finished
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [row["loss"] for row in map(json.loads, rows) if "loss" in row]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    assert any("pixel_accuracy" in row for row in rows)

    segmenter = ovs_jax.load(tmp_path)
    assert isinstance(segmenter, PixelSegmenter)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    found = segmenter.segment(image, ["blue umbrella", *CLASSES[1:]])
    assert found.scores is not None
    assert found.scores.shape == (6, 32, 32)
    # Classes share out every pixel.
    np.testing.assert_allclose(found.scores.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(found.labels, found.scores.argmax(0))


def test_ignored_pixels_cost_nothing() -> None:
    unit = embed(["red ball", "grass"])
    label = np.zeros((1, 8, 8), np.int32)
    label[:, 4:] = -1
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[:, 0] = [2.0, 1.0]
    logits[:, 1] = [-9.0, 9.0]  # wrong, where nothing is known

    def model(images: jax.Array, classes: jax.Array) -> jax.Array:
        np.testing.assert_array_equal(classes, unit)
        return jnp.asarray(logits)

    batch = {"image": jnp.zeros((1, 8, 8, 3)), "label": jnp.asarray(label)}
    loss, metrics = PixelObjective()(model, batch, None, class_unit=unit)
    # Rows 0 to 3 of the label lie between the rows of logits: from all of the upper one to 3/8 of
    # the lower.
    share = np.asarray([0, 0, 1 / 8, 3 / 8])
    margin = (1 - share) * (2 - 1) + share * (-9 - 9)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-margin)).mean(), rel=1e-6)
    assert metrics == {"loss": loss}


def test_pixels_are_shared_out_before_they_are_resized() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (6, 8, 8)).astype(np.float32)
    painting = MaskPainting(
        logits=logits,
        mask_scores=np.eye(6, dtype=np.float32),
        unseen=np.arange(6) == 5,
        padded=(32, 32),
        size=(32, 32),
        new_size=(32, 32),
        gamma=0.25,
        exclusive=True,
    )
    shares = jax.nn.softmax(enlarge(jnp.asarray(logits)[None], 32, 32)[0], axis=0)
    expected = np.asarray(shares) - np.where(np.arange(6) == 5, 0, 0.25)[:, None, None]
    np.testing.assert_allclose(painting.scores(), expected, atol=1e-6)
    np.testing.assert_array_equal(painting.labels().labels, expected.argmax(0))
    counts = painting.count(expected.argmax(0).astype(np.int32), gammas=[0.25])
    assert counts[0].trace() == 32 * 32


def test_models_have_the_objective_that_is_made_for_them() -> None:
    with pytest.raises(ValueError, match=r"objective.kind: expected 'pixels' for .*_baseline'"):
        LabelledTask(tiny("objective.kind=masks"))
