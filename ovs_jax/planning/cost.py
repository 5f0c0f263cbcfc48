"""What one chip computes, moves and sends in a step, counted in the compiled program.

XLA's own ``cost_analysis()`` counts the body of a loop once, on TPUs and CPUs alike, so that a
program with scanned layers seems several times cheaper than it is. Here every loop counts as often
as it runs. Counted are matrix products (dots and convolutions, positions in padding left out, as
XLA does); bytes of main memory that each instruction reads and writes (of an array of which a
fusion takes a slice, the slice), where arrays in on-chip memory are free; and communication.
Elementwise arithmetic is not: on these chips it takes less time than its bytes.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ovs_jax.planning.collectives import Collective, collective
from ovs_jax.planning.program_text import (
    Computation,
    Instruction,
    Program,
    Shape,
    trip_count,
)

_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "iota",
    "partition-id", "replica-id", "opt-barrier", "while", "call", "conditional", "custom-call",
}  # fmt: skip
_SLICES = {"dynamic-slice", "slice", "gather"}


@dataclass
class Cost:
    """What a step costs one chip.

    Attributes:
      flops: of matrix products.
      bytes: read from and written to main memory.
      roofline: the least time in seconds: of each instruction, what takes longer of arithmetic and
        memory. 0 where no rates were given.
      collectives: how often each runs.
      waves: how often chips wait for each other, by kind; what is under way together waits once.
      unknown_loops: loops whose length the program does not tell; their bodies are counted once.
    """

    flops: float = 0.0
    bytes: float = 0.0
    roofline: float = 0.0
    collectives: Counter[Collective] = field(default_factory=Counter)
    waves: Counter[str] = field(default_factory=Counter)
    unknown_loops: int = 0


def count(
    program: Program, *, devices: int, flops_rate: float = 0.0, bandwidth: float = 0.0
) -> Cost:
    """Adds a whole program up.

    Args:
      program: from `program_text.read`.
      devices: that it runs on.
      flops_rate: of a chip, for the roofline.
      bandwidth: of a chip's memory in bytes/s, for the roofline.

    Returns:
      The cost of one run on one chip.
    """
    cost = Cost()
    under_way: str | None = None
    for computation, instruction, times in _runs(program, program.entry, 1, cost):
        flops = times * _flops(program, computation, instruction)
        moved = times * _moved(program, computation, instruction)
        cost.flops += flops
        cost.bytes += moved
        if flops_rate and bandwidth:
            cost.roofline += max(flops / flops_rate, moved / bandwidth)
        for sent in _collectives(program, computation, instruction, devices):
            cost.collectives[sent] += times
            if sent.kind != under_way:
                cost.waves[sent.kind] += times
            under_way = sent.kind if instruction.opcode.endswith("-start") else None
        if instruction.opcode.endswith("-done"):
            under_way = None
    return cost


def _runs(
    program: Program, name: str, times: int, cost: Cost
) -> Iterator[tuple[Computation, Instruction, int]]:
    """Every instruction outside fusions, and how often it runs."""
    computation = program.computations[name]
    for instruction in computation.values():
        if instruction.opcode == "while":
            trips = trip_count(program, instruction)
            cost.unknown_loops += trips is None
            body = instruction.called("body") or ""
            yield from _runs(program, body, times * (1 if trips is None else trips), cost)
        elif instruction.opcode == "call":
            yield from _runs(program, instruction.called("to_apply") or "", times, cost)
        elif instruction.opcode == "conditional":
            # Any one branch runs; the first is as good as another in training steps.
            branches = re.search(r"(?:branch_computations=\{|true_computation=)%([\w.\-]+)",
                                 instruction.attributes)  # fmt: skip
            if branches is not None:
                yield from _runs(program, branches.group(1), times, cost)
        yield computation, instruction, times


def _inner(program: Program, instruction: Instruction) -> Computation | None:
    """The computation within a fusion, or within an operation that runs in the background."""
    if instruction.opcode not in ("fusion", "async-start"):
        return None
    name = instruction.called("calls")
    return None if name is None else program.computations[name]


def _collectives(
    program: Program, computation: Computation, instruction: Instruction, devices: int
) -> Iterator[Collective]:
    inner = _inner(program, instruction)
    if inner is not None:
        for each in inner.values():
            yield from _collectives(program, inner, each, devices)
        return
    found = collective(
        instruction,
        [shape for name in instruction.operands for shape in computation[name].shapes],
        devices=devices,
    )
    if found is not None:
        yield found


def _flops(program: Program, computation: Computation, instruction: Instruction) -> float:
    inner = _inner(program, instruction)
    if inner is not None:
        return sum((_flops(program, inner, each) for each in inner.values()), 0.0)
    if instruction.opcode not in ("dot", "convolution"):
        return 0.0
    left, right = (computation[name].shapes[0] for name in instruction.operands[:2])
    if instruction.opcode == "dot":
        contracted = _numbers(instruction.attributes, "lhs_contracting_dims")
        depth = math.prod(left.dims[axis] for axis in contracted)
        return 2.0 * instruction.shapes[0].elements * depth
    return _convolution(instruction, left, right)


def _numbers(attributes: str, name: str) -> list[int]:
    found = re.search(rf"\b{name}=\{{([\d,]*)\}}", attributes)
    return [int(n) for n in found.group(1).split(",") if n] if found is not None else []


def _convolution(instruction: Instruction, left: Shape, right: Shape) -> float:
    """Products of a convolution; on TPUs every matrix product is written as one."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    if labels is None:
        return 0.0
    rows, kernel, result = labels.groups()
    groups = re.search(r"\bfeature_group_count=(\d+)", instruction.attributes)
    batches = re.search(r"\bbatch_group_count=(\d+)", instruction.attributes)
    batch = left.dims[rows.index("b")] // (int(batches.group(1)) if batches else 1)
    inputs = left.dims[rows.index("f")] // (int(groups.group(1)) if groups else 1)
    outputs = right.dims[kernel.index("o")]
    window = _window(instruction.attributes)
    places = 1
    for axis in range(len(rows) - 2):
        own = {name: values[axis] for name, values in window.items() if axis < len(values)}
        places *= _places(
            left.dims[rows.index(str(axis))],
            instruction.shapes[0].dims[result.index(str(axis))],
            right.dims[kernel.index(str(axis))],
            own,
        )
    return 2.0 * batch * inputs * outputs * places


def _window(attributes: str) -> dict[str, list[str]]:
    found = re.search(r"window=\{([^}]*)\}", attributes)
    entries = found.group(1).split() if found is not None else []
    return {name: value.split("x") for name, value in (each.split("=") for each in entries)}


def _places(inputs: int, outputs: int, size: int, window: dict[str, str]) -> int:
    """Pairs of a result and a kernel element that meet a value, along one axis."""
    stride, left, right = (
        int(window.get(name, "1")) for name in ("stride", "lhs_dilate", "rhs_dilate")
    )
    before = int(window.get("pad", "0_0").split("_")[0])
    at = (np.arange(outputs) * stride)[:, None] + (np.arange(size) * right)[None] - before
    inside = (at >= 0) & (at % left == 0) & (at // left < inputs)
    return int(inside.sum())


def _moved(program: Program, computation: Computation, instruction: Instruction) -> float:
    """Bytes of main memory that an instruction reads and writes."""
    opcode = instruction.opcode
    if opcode in _FREE or opcode.endswith("-done") or opcode == "async-update":
        return 0.0
    if opcode == "copy-start":  # its results are the copy, the source again and a token
        arrays = (instruction.shapes[0], *_operand_shapes(computation, instruction))
        return float(sum(map(_main, arrays)))
    if opcode in _SLICES:
        return 2.0 * sum(map(_main, instruction.shapes))
    if opcode == "dynamic-update-slice":
        return 2.0 * _main(computation[instruction.operands[1]].shapes[0])
    inner = _inner(program, instruction)
    if inner is None or opcode == "async-start":
        arrays = (*instruction.shapes, *_operand_shapes(computation, instruction))
        return float(sum(map(_main, arrays)))
    read = 0.0
    for position, shape in enumerate(_operand_shapes(computation, instruction)):
        read += min(_main(shape), _taken(inner, position)) if _main(shape) else 0.0
    return read + _written(inner, instruction)


def _operand_shapes(computation: Computation, instruction: Instruction) -> list[Shape]:
    return [
        computation[name].shapes[0] for name in instruction.operands if computation[name].shapes
    ]


def _main(shape: Shape) -> int:
    return shape.bytes if shape.space == 0 else 0


def _taken(inner: Computation, position: int) -> float:
    """How much of a parameter a fusion looks at."""
    name = next(
        (
            each.name
            for each in inner.values()
            if each.opcode == "parameter" and each.arguments == str(position)
        ),
        None,
    )
    if name is None:
        return math.inf
    taken = 0.0
    for each in inner.values():
        if name not in each.operands:
            continue
        if each.opcode in _SLICES and each.operands[0] == name:
            taken += sum(shape.bytes for shape in each.shapes)
        elif each.opcode == "dynamic-update-slice" and each.operands[0] == name:
            continue  # written in place; what is written counts there
        else:
            return math.inf
    return taken


def _written(inner: Computation, instruction: Instruction) -> float:
    """What a fusion writes: of an array that it updates in place, the part."""
    (root,) = (each for each in inner.values() if each.root)
    names = root.operands if root.opcode == "tuple" else (root.name,)
    total = 0.0
    for name, shape in zip(names, instruction.shapes, strict=False):
        made = inner[name]
        if made.opcode == "dynamic-update-slice" and _main(shape):
            total += inner[made.operands[1]].shapes[0].bytes
        else:
            total += _main(shape)
    return total
