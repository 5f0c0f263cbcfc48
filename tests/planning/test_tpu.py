"""The steps of the published recipes compile for TPUs that are not there, and say what they said.

Widths, images and text lengths are the published ones. Of every stack of layers there is one layer,
and the compiler tries less hard than for training: compiling is what takes minutes. The golden
files hold what chips send each other. To renew one, with the extra ``plan`` installed:
``OVS_JAX_RENEW=1 pytest -m tpu_aot tests/planning/test_tpu.py``, and look at the difference.
"""

import os
from pathlib import Path

import pytest

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
SHALLOW = {
    "ovsegmentor/stage1": ("model.encoder.depths=[1, 1]", "model.text.depth=1"),
    "ovsegmentor/stage2": ("model.encoder.depths=[1, 1]", "model.text.depth=1"),
    "groupvit/gcc_yfcc": ("model.encoder.depths=[1, 1, 1]", "model.text.depth=1"),
}


@pytest.mark.parametrize("machine", ["v5e:4x4", "v5p:4x4x4"])
@pytest.mark.parametrize("name", SHALLOW)
def test_a_published_step_compiles_for_tpus_and_sends_what_it_sent(
    name: str, machine: str, golden: Path
) -> None:
    overrides = (*SHALLOW[name], "step.dtype=bfloat16")
    loaded = experiments.load(name, [f"--config.{each}" for each in overrides])
    config = from_mapping(RunConfig, loaded.to_dict())
    chips = topology.topology(machine)
    topology.prepare(chips)
    choice = Choice((chips.size, 1, 1), BY_CHIP * chips.size, "none")
    compiled = compile_step(config, choice, topology.devices(chips), scan=False, effort=-1.0)
    planned = report.plan_of(compiled, chips, pair_flops=1.0)
    assert planned.fits
    sent = report.communication(planned)
    file = golden / "collectives" / f"{name}_{machine}.txt".replace("/", "_").replace(":", "_")
    if os.environ.get("OVS_JAX_RENEW"):
        file.write_text(sent, encoding="utf-8")
    assert sent == file.read_text(encoding="utf-8")
