import subprocess
import sys

import jax
import numpy as np
import pytest

import ovs_jax
from ovs_jax.cli import config as experiments
from ovs_jax.data.synthetic import SyntheticWorld
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.mapping import from_mapping
from ovs_jax.nn import functional
from ovs_jax.training import experiment
from ovs_jax.training.config import RunConfig

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of two steps, by the code that real runs use."""
    config = experiments.load(
        "groupvit/synthetic:smoke",
        [
            "--config.steps=2",
            "--config.checkpoint.every=1",
            "--config.evaluation.source=none",
            "--config.objective.multi_label=0",
            "--config.data.world.size=32",
            "--config.model.encoder.depths=(1,0)",
            "--config.model.encoder.heads=(2,2)",
            "--config.model.encoder.group_tokens=(8,0)",
            "--config.model.encoder.output_groups=(4,)",
            "--config.model.projector.hidden=0",
            "--config.data.world_length=32",
        ],
    )
    folder = tmp_path_factory.mktemp("run")
    outcome = experiment.run(from_mapping(RunConfig, config.to_dict()), folder)
    assert outcome.finished
    return folder


@pytest.fixture(scope="module")
def segmenter(trained):
    return ovs_jax.load(trained)


@pytest.fixture(scope="module")
def scene():
    world = SyntheticWorld(from_mapping(RunConfig, {"model": {}, "steps": 1}).data.world, length=1)
    return world.drawing(0).image


def test_a_checkpoint_written_by_training_segments_a_scene(segmenter, scene):
    result = segmenter.segment(scene, ["dog", "sofa", "water"])
    assert result.labels.shape == scene.shape[:2]
    assert result.scores.shape == (3, *scene.shape[:2])
    assert set(np.unique(result.labels)) <= {0, 1, 2}
    assert np.isfinite(result.scores).all()
    assert result.draw().dtype == np.uint8


def test_one_step_of_a_run_can_be_named(trained, segmenter):
    first = ovs_jax.load(trained / "checkpoints" / "1")
    changed = jax.tree.map(lambda a, b: np.abs(a - b).max(), first._params, segmenter._params)
    assert max(functional.paths(changed).values()) > 0


def test_a_model_of_the_synthetic_world_sees_images_at_its_training_size(segmenter):
    assert segmenter.geometry == Geometry(window=32, stride=16, short_side=32)


def test_a_geometry_that_is_given_is_used(trained):
    geometry = Geometry(window=32, stride=32, short_side=64)
    assert ovs_jax.load(trained, geometry=geometry).geometry is geometry


def test_a_path_without_a_checkpoint_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere holds no usable checkpoint; expected"):
        ovs_jax.load(tmp_path / "nowhere")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ovs_jax' has no attribute 'lod'"):
        _ = ovs_jax.lod


def test_every_public_name_exists():
    for name in ovs_jax.__all__:
        assert getattr(ovs_jax, name) is not None


def test_importing_the_package_imports_neither_jax_nor_flax():
    program = "import sys, ovs_jax; print(*sorted({'jax', 'flax', 'orbax'} & sys.modules.keys()))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
