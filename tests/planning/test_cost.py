"""Counts of small programs: against a pencil, and against XLA where XLA counts right."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax import parallel
from ovs_jax.planning import collectives
from ovs_jax.planning.cost import Cost, count
from ovs_jax.planning.program_text import read

LENGTH = 5


def compile_both(function: Any, *arguments: Any) -> tuple[Cost, dict[str, float]]:
    compiled = jax.jit(function).lower(*arguments).compile()
    cost = count(read(compiled.as_text()), devices=8, flops_rate=1e3, bandwidth=1e2)
    return cost, compiled.cost_analysis()


def scanned(x: Any, kernels: Any) -> Any:
    return jax.lax.scan(lambda y, kernel: (jnp.tanh(y @ kernel), None), x, kernels)[0]


def test_the_body_of_a_loop_counts_as_often_as_it_runs_though_xla_counts_it_once() -> None:
    x, kernels = jnp.ones((64, 32)), jnp.ones((LENGTH, 32, 32))
    cost, xla = compile_both(scanned, x, kernels)
    once = 2 * 64 * 32 * 32
    assert cost.flops == LENGTH * once
    assert xla["flops"] < 2 * once
    assert cost.unknown_loops == 0


def test_a_loop_reads_of_stacked_weights_one_layer_at_a_time() -> None:
    """A layer reads its weights and activations and writes activations; the stack is read once."""
    x, kernels = jnp.ones((64, 32)), jnp.ones((LENGTH, 32, 32))
    cost, _ = compile_both(scanned, x, kernels)
    layer = 4 * (32 * 32 + 2 * 64 * 32)
    assert LENGTH * layer <= cost.bytes <= 3.5 * LENGTH * layer


def test_loops_within_loops_multiply() -> None:
    def run(x: Any) -> Any:
        def outer(y: Any, _: None) -> tuple[Any, None]:
            return jax.lax.scan(lambda z, _: (z @ z, None), y, length=3)[0], None

        return jax.lax.scan(outer, x, length=4)[0]

    cost, _ = compile_both(run, jnp.ones((16, 16)) / 16)
    assert cost.flops == 3 * 4 * 2 * 16**3


def test_without_loops_memory_traffic_is_what_xla_says() -> None:
    def run(x: Any, y: Any) -> Any:
        return jnp.tanh(x @ y).sum(0)

    cost, xla = compile_both(run, jnp.ones((64, 128)), jnp.ones((128, 32)))
    assert cost.bytes == pytest.approx(xla["bytes accessed"], rel=0.01)
    assert cost.flops == 2 * 64 * 128 * 32


@pytest.mark.parametrize(
    "settings",
    [
        {"window_strides": (2, 2), "padding": "SAME"},
        {"window_strides": (1, 1), "padding": ((3, 1), (0, 2)), "rhs_dilation": (2, 1)},
        {"window_strides": (1, 2), "padding": ((1, 0),) * 2, "lhs_dilation": (3, 1)},
        {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 2},
    ],
    ids=str,
)
def test_a_convolution_counts_where_it_meets_pixels_as_xla_does(settings: dict[str, Any]) -> None:
    inputs = 4 // settings.get("feature_group_count", 1)

    def run(x: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **settings
        )

    cost, xla = compile_both(run, jnp.ones((2, 9, 8, 4)), jnp.ones((3, 3, inputs, 6)))
    assert cost.flops == pytest.approx(xla["flops"], rel=1e-6)


def test_matrix_products_that_tpus_write_as_convolutions_count_as_products() -> None:
    """Attention scores: 32 images x 8 heads, 260 x 260 tokens, 96 channels."""
    text = """\
ENTRY %main (q: bf16[32,260,8,96], k: bf16[32,260,8,96]) -> f32[32,8,260,260] {
  %q = bf16[32,260,8,96]{1,3,2,0:T(8,128)(2,1)} parameter(0)
  %k = bf16[32,260,8,96]{1,3,2,0:T(8,128)(2,1)} parameter(1)
  ROOT %scores = f32[32,8,260,260]{2,3,1,0:T(8,128)} convolution(%q, %k), \
window={size=32x8 stride=31x7 lhs_dilate=32x8}, dim_labels=0b1f_0o1i->01bf
}
"""
    assert count(read(text), devices=1).flops == 2 * 32 * 8 * 260 * 260 * 96


def test_the_roofline_takes_what_is_slower_of_each_instruction() -> None:
    cost, _ = compile_both(lambda x, y: x @ y, jnp.ones((64, 128)), jnp.ones((128, 32)))
    assert cost.roofline == pytest.approx(max(cost.flops / 1e3, cost.bytes / 1e2))


def ring(x: Any) -> Any:
    mesh = jax.sharding.get_abstract_mesh()
    turn = [(i, (i + 1) % 8) for i in range(8)]

    def own(rows: Any) -> Any:
        def step(block: Any, _: None) -> tuple[Any, Any]:
            block = jax.lax.ppermute(block, parallel.BATCH_AXES, turn)
            return block, (block * rows).sum()

        last, sums = jax.lax.scan(step, rows, length=LENGTH)
        return last * jax.lax.psum(sums.sum(), parallel.BATCH_AXES)

    return jax.shard_map(
        own, mesh=mesh, in_specs=parallel.BATCH, out_specs=parallel.BATCH, check_vma=False
    )(x)


def test_messages_round_a_ring_count_once_a_turn() -> None:
    mesh = parallel.make_mesh((4, 2, 1))
    shape = jax.ShapeDtypeStruct((16, 32), np.float32, sharding=parallel.batch_sharding(mesh))
    with parallel.visible(mesh):
        program = jax.jit(ring).lower(shape).compile()
    cost = count(read(program.as_text()), devices=8)
    lines = collectives.table(cost.collectives)
    assert [line.split(",")[0] for line in lines] == [
        "all-reduce f32 over 8: 1 x",
        f"collective-permute f32 over 8: {LENGTH} x",
    ]
    (message,) = (each for each in cost.collectives if each.kind == "collective-permute")
    assert message.bytes == message.sent == 2 * 32 * 4
    assert cost.waves["collective-permute"] == LENGTH
