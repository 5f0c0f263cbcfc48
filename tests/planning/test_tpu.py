"""The steps of the published recipes compile for TPUs that are not there, and say what they said.

Widths, images and text lengths are the published ones. Of every stack of layers there is one layer,
and the compiler tries less hard than for training: compiling is what takes minutes. The golden
files hold what chips send each other. To renew one, with the extra ``plan`` installed:
``OVS_JAX_RENEW=1 pytest -m tpu_aot tests/planning/test_tpu.py``, and look at the difference.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping
from ovs_jax.planning import report, topology
from ovs_jax.planning.step_program import Choice, compile_step
from ovs_jax.training.config import RunConfig

pytestmark = [
    pytest.mark.tpu_aot,
    pytest.mark.skipif(
        not topology.installed(), reason="no TPU compiler here: pip install 'ovs-jax[plan]'"
    ),
]
BY_CHIP = 2
OVSEGMENTOR = ("model.encoder.depths=[1, 1]", "model.text.depth=1")
STEPS = {
    "ovsegmentor_stage1": ("ovsegmentor/stage1", OVSEGMENTOR),
    "ovsegmentor_stage1_ring": ("ovsegmentor/stage1", (*OVSEGMENTOR, "objective.tile=2")),
    "ovsegmentor_stage2": ("ovsegmentor/stage2", OVSEGMENTOR),
    "groupvit_gcc_yfcc": (
        "groupvit/gcc_yfcc",
        ("model.encoder.depths=[1, 1, 1]", "model.text.depth=1"),
    ),
    "zegformer_coco_stuff": (
        "zegformer/coco_stuff",
        ("model.backbone.blocks=[1, 1, 1, 1]", "model.transformer.decoder_layers=2"),
    ),
}


@pytest.fixture(autouse=True)
def cache_afterwards() -> Iterator[None]:
    """Other tests of this process find compiled programs again."""
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.mark.parametrize("machine", ["v5e:4x4", "v5p:4x4x4"])
@pytest.mark.parametrize("name", STEPS)
def test_a_published_step_compiles_for_tpus_and_sends_what_it_sent(
    name: str, machine: str, golden: Path
) -> None:
    experiment, changes = STEPS[name]
    overrides = (*changes, "step.dtype=bfloat16")
    loaded = experiments.load(experiment, [f"--config.{each}" for each in overrides])
    config = from_mapping(RunConfig, loaded.to_dict())
    chips = topology.topology(machine)
    topology.prepare(chips)
    choice = Choice((chips.size, 1, 1), BY_CHIP * chips.size, "none")
    compiled = compile_step(config, choice, topology.devices(chips), scan=False, effort=-1.0)
    planned = report.plan_of(compiled, chips, pair_flops=1.0)
    assert planned.fits
    sent = report.communication(planned)
    file = golden / "collectives" / f"{name}_{machine}.txt".replace(":", "_")
    if os.environ.get("OVS_JAX_RENEW"):
        file.write_text(sent, encoding="utf-8")
    assert file.is_file(), f"{file} is not there yet: renew it as told above"
    assert sent == file.read_text(encoding="utf-8")
