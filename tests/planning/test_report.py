"""What a plan says."""

import pytest

from ovs_jax.planning import report
from ovs_jax.planning.program_text import read
from ovs_jax.planning.report import Planned, describe, plan_of, table
from ovs_jax.planning.step_program import Choice, Compiled, Memory
from ovs_jax.planning.topology import topology

TEXT = """\
ENTRY %main (x: f32[1000,2000], y: f32[2000,500]) -> f32[1000,500] {
  %x = f32[1000,2000]{1,0} parameter(0)
  %y = f32[2000,500]{1,0} parameter(1)
  %dot = f32[1000,500]{1,0} dot(%x, %y), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %sum = f32[1000,500]{1,0} all-reduce(%dot), replica_groups={}, to_apply=%add, \
metadata={op_name="jit(step)/psum"}
}
"""
GIBI = 2**30


def planned(name: str, *, temporaries: int = GIBI) -> Planned:
    machine = topology(name)
    memory = Memory(parameters=GIBI, optimizer=2 * GIBI, batch=0, temporaries=temporaries, code=0)
    choice = Choice((machine.size, 1, 1), 64, "block")
    compiled = Compiled(choice, read(TEXT), memory, xla_flops=1e9, xla_bytes=1e6, seconds=3.0)
    return plan_of(compiled, machine, pair_flops=4e8)


def test_a_plan_tells_memory_work_communication_and_hours() -> None:
    plan = planned("v5e:4x4")
    assert plan.time is not None
    said = describe(plan, steps=1000.0)
    assert "v5e:4x4: 16 chips, data 16 x fsdp 1 x tensor 1, batch 64, remat block" in said
    assert "total            4.000 GiB" in said
    assert "of              16.000 GiB HBM (25%): fits" in said
    # 2 x 1000 x 2000 x 500 on each of 16 chips, of which the model itself needs 64 x 0.4 GFLOP.
    assert "0.032 TFLOP in matrix products of all chips, 1.250 of the model's" in said
    assert "all-reduce f32 over 16: 1 x, 2000000 bytes in all (psum)" in said
    assert f"{64 / plan.time.step:,.0f} pairs/s at most" in said
    assert "1,000 steps of the recipe" in said
    assert plan.utilisation == pytest.approx(64 * 4e8 / plan.time.step / 16 / 197e12)


def test_what_needs_more_memory_than_a_chip_has_does_not_fit() -> None:
    plan = planned("v5e:4x4", temporaries=14 * GIBI)
    assert plan.fits is False
    assert "DOES NOT FIT" in describe(plan)


def test_on_cpus_there_is_no_time_and_nothing_to_fit() -> None:
    plan = planned("cpu:8")
    assert plan.fits is None
    assert "time of a step" not in describe(plan)


def test_a_table_has_a_row_for_every_choice_and_the_reason_where_there_is_no_plan() -> None:
    machine = topology("v5e:4x4")
    said = table([planned("v5e:4x4"), (machine, Choice((4, 4, 1), 128, "none"), "too large")])
    header, _, one, other = said.splitlines()
    assert header.count("|") == one.count("|") == other.count("|")
    assert "| 16,1,1 | 64 | block | 4.00 | yes |" in one
    assert "| 4,4,1 | 128 | none |  | no: too large |" in other


def test_the_text_of_the_golden_files_has_no_times() -> None:
    assert report.communication(planned("cpu:8")).splitlines() == [
        "cpu:8: 8 chips, data 8 x fsdp 1 x tensor 1, batch 64, remat block",
        "all-reduce f32 over 8: 1 x 2000000 bytes",
    ]
