"""What ``ovs-jax plan`` tries and how it ends; the program it compiles is a stand-in's."""

from pathlib import Path
from typing import Any

import pytest

from ovs_jax.cli.main import main
from ovs_jax.cli.plan import mesh
from ovs_jax.planning import step_program, topology
from ovs_jax.planning.step_program import Choice, Compiled, DoesNotFitError, Memory
from ovs_jax.training.config import RunConfig
from tests.planning.test_report import TEXT

PLAN = ("plan", "--config=quickstart/stage1:smoke")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """What is asked to be compiled; with remat none it needs too much memory."""
    seen: list[Choice] = []

    def stand_in(config: RunConfig, choice: Choice, devices: list[Any], *, scan: bool) -> Compiled:
        seen.append(choice)
        if choice.remat == "none":
            raise DoesNotFitError("Used 20G of 16G")
        memory = Memory(parameters=8, optimizer=16, batch=4, temporaries=64, code=2)
        program = step_program.program_text.read(TEXT)
        return Compiled(choice, program, memory, xla_flops=1.0, xla_bytes=1.0, seconds=0.1)

    monkeypatch.setattr(step_program, "compile_step", stand_in)
    monkeypatch.setattr(topology, "prepare", lambda machine: None)
    monkeypatch.setattr(topology, "devices", lambda machine: [None] * machine.size)
    return seen


def test_a_plan_is_printed_and_kept(
    tried: list[Choice], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        [*PLAN, "--topology=v5e:4x4", "--config.step.remat=dots", "--out", str(tmp_path / "new")]
    )
    assert status == 0
    assert tried == [Choice((16, 1, 1), 16, "dots")]
    printed = capsys.readouterr().out
    assert "HBM" in printed
    assert (tmp_path / "new/plan.txt").read_text().strip() in printed
    assert "all-reduce f32" in (tmp_path / "new/collectives.txt").read_text()


def test_a_sweep_tries_every_combination_and_goes_on_where_one_does_not_fit(
    tried: list[Choice], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PLAN, "--topology=v5e:4x4", "--sweep", "--remat", "none", "block"]) == 0
    meshes = [(16, 1, 1), (4, 4, 1), (1, 16, 1)]
    assert tried == [
        Choice(shape, batch, remat)
        for shape in meshes
        for batch in (16, 32)
        for remat in ("none", "block")
    ]
    rows = capsys.readouterr().out.splitlines()[-len(tried) :]
    assert sum("no: Used 20G of 16G" in row for row in rows) == 6


def test_a_batch_by_chip_grows_with_the_machine(tried: list[Choice]) -> None:
    main([*PLAN, "--topology", "v5e:4x4", "v5e:8x8", "--batch-per-chip=2", "--remat", "block"])
    assert [(choice.mesh, choice.batch_size) for choice in tried] == [
        ((16, 1, 1), 32),
        ((64, 1, 1), 128),
    ]


@pytest.mark.usefixtures("tried")
def test_where_nothing_fits_the_status_says_so() -> None:
    assert main([*PLAN, "--topology=v5e:4x4"]) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--topology=v5e:4x4", "--mesh=4,2,1"], "--mesh: expected three sizes"),
        (["--topology=v5e:4x4", "--batch", "16", "32"], "--batch: several values need --sweep"),
        (["--topology=v9:4x4"], "expected one of v5e, v5p, v6e or cpu"),
        (["--topology", "cpu:8", "v5e:4x4"], "expected TPUs or CPU devices"),
    ],
)
@pytest.mark.usefixtures("tried")
def test_what_cannot_be_planned_is_told_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PLAN, *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_a_mesh_may_leave_one_size_open() -> None:
    assert mesh("-1,4,1", 16) == (4, 4, 1)
