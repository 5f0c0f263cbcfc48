"""Programs are read from their text, as this backend and as TPUs write it."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from ovs_jax.planning import program_text
from ovs_jax.planning.program_text import Program, Shape, read, trip_count

TPU = """\
HloModule jit_step, is_scheduled=true

%condition (p: (s32[], bf16[96,77])) -> pred[] {
  %limit = s32[]{:T(128)} constant(12)
  %p = (s32[]{:T(128)}, bf16[96,77]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %counter = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt = pred[]{:T(512)} compare(%counter, %limit), direction=LT, metadata={op_name="a(b)"}
}

%body (q: (s32[], bf16[96,77])) -> (s32[], bf16[96,77]) {
  ROOT %q = (s32[]{:T(128)}, bf16[96,77]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
}

ENTRY %main.5 (x: (s32[], bf16[96,77])) -> (s32[], bf16[96,77]) {
  %x = (s32[]{:T(128)}, /*index=1*/bf16[96,77]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  ROOT %while.1 = (s32[]{:T(128)}, bf16[96,77]{1,0}) while(%x), condition=%condition, body=%body
}
"""


def loops(program: Program) -> list[Any]:
    return [
        each
        for computation in program.computations.values()
        for each in computation.values()
        if each.opcode == "while"
    ]


def compiled(function: Any, *arguments: Any) -> Program:
    return read(jax.jit(function).lower(*arguments).compile().as_text())


def test_the_text_of_a_tpu_program_is_read() -> None:
    program = read(TPU)
    assert (program.entry, list(program.computations)) == (
        "main.5", ["condition", "body", "main.5"],
    )  # fmt: skip
    (loop,) = loops(program)
    assert loop.root
    assert loop.operands == ("x",)
    assert loop.called("body") == "body"
    held = program.computations["main.5"]["x"].shapes
    assert held == (Shape("s32", ()), Shape("bf16", (96, 77), space=1))
    assert held[1].bytes == 96 * 77 * 2
    assert trip_count(program, loop) == 12


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_a_scan_runs_as_often_as_it_is_long(length: int) -> None:
    def run(x: Any) -> Any:
        return jax.lax.scan(lambda y, _: (jnp.sin(y) @ y, None), x, length=length)[0]

    program = compiled(run, jnp.ones((16, 16)))
    found = [trip_count(program, loop) for loop in loops(program)]
    assert found in ([length], [] if length == 1 else None)


def test_a_loop_that_runs_until_something_holds_has_no_length() -> None:
    program = compiled(
        lambda x: jax.lax.while_loop(lambda y: y.sum() > 1, lambda y: y / 2, x), jnp.ones(4)
    )
    assert [trip_count(program, loop) for loop in loops(program)] == [None]


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(ValueError, match="expected optimised HLO"):
        program_text.read("module @jit_step { }")
