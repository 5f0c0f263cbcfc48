"""Kinds, sizes and groups of communication."""

import pytest

from ovs_jax.planning.collectives import Collective, by_size, collective, group_size, table
from ovs_jax.planning.program_text import Instruction, Shape

ONE_OF_EACH_NOTATION = [
    ("replica_groups={{0,1,2,3},{4,5,6,7}}, use_global_device_ids=true", 4),
    ("replica_groups=[2,4]<=[4,2]T(1,0), dimensions={0}", 4),
    ("replica_groups=mesh['axis_0'=16,'axis_1'=4,'axis_2'=1] {'axis_1','axis_2'}, to", 4),
    ("replica_groups={}, to_apply=%add", 8),
]


@pytest.mark.parametrize(("attributes", "expected"), ONE_OF_EACH_NOTATION)
def test_the_size_of_a_group_is_read_however_it_is_written(attributes: str, expected: int) -> None:
    assert group_size(attributes, devices=8) == expected


def instruction(opcode: str) -> Instruction:
    name = 'replica_groups=[2,4]<=[8], metadata={op_name="jit(step)/transpose(jvp())/reduce_sum"}'
    return Instruction("x", opcode, (), (), "", name, root=False)


@pytest.mark.parametrize(
    ("opcode", "payload", "sent"),
    [
        ("all-reduce", 400, 600),  # to and fro, each three quarters
        ("all-gather-start", 1600, 1200),  # the result, of which a quarter was there
        ("reduce-scatter", 400, 300),
        ("all-to-all", 400, 300),
        ("collective-permute-start", 400, 400),
    ],
)
def test_a_chip_sends_what_a_ring_of_four_needs(opcode: str, payload: int, sent: int) -> None:
    found = collective(instruction(opcode), [Shape("f32", (100,))], devices=8)
    assert found is not None
    assert (found.bytes, found.sent, found.group) == (payload, sent, 4)
    assert found.origin == "reduce_sum"


@pytest.mark.parametrize("opcode", ["all-gather-done", "fusion", "reduce"])
def test_what_does_not_communicate_is_passed_over(opcode: str) -> None:
    assert collective(instruction(opcode), [Shape("f32", (100,))], devices=8) is None


def test_the_table_adds_up_by_kind_dtype_group_and_origin() -> None:
    small = Collective("all-reduce", (("f32", 4),), 8, "psum")
    large = Collective("all-reduce", (("f32", 400),), 8, "psum")
    mixed = Collective("all-gather", (("bf16", 2), ("f32", 4)), 2, "dot_general")
    assert table({small: 3, large: 1, mixed: 2}) == [
        "all-gather bf16+f32 over 2: 2 x, 12 bytes in all (dot_general)",
        "all-reduce f32 over 8: 4 x, 412 bytes in all (psum)",
    ]


def test_by_size_tells_equal_messages_whatever_they_are_named() -> None:
    one = Collective("all-reduce", (("f32", 4),), 8, "psum")
    same = Collective("all-reduce", (("f32", 4),), 8, "reduce_sum")
    large = Collective("all-reduce", (("f32", 400),), 8, "psum")
    assert by_size({one: 3, large: 1, same: 2}) == [
        "all-reduce f32 over 8: 5 x 4 bytes",
        "all-reduce f32 over 8: 1 x 400 bytes",
    ]
