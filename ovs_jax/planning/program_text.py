"""Reads the text of a compiled program (optimised HLO), as ``compiled.as_text()`` prints it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BITS = {
    "pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "bf16": 16, "f16": 16,
    "s32": 32, "u32": 32, "f32": 32, "s64": 64, "u64": 64, "f64": 64, "c64": 64, "c128": 128,
}  # fmt: skip
_ARRAY = re.compile(r"([a-z]+[0-9]*)\[([0-9,]*)\](?:\{([^}]*)\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_LINE = re.compile(r"\s+(?:ROOT )?%([\w.\-]+) = (.*)")
_HEADER = re.compile(r"(?:ENTRY )?%([\w.\-]+) .*-> .*\{$")


@dataclass(frozen=True)
class Shape:
    """One array.

    Attributes:
      dtype: as HLO names it, such as ``bf16``.
      dims: sizes.
      space: memory space, 0 for the main memory (HBM).
    """

    dtype: str
    dims: tuple[int, ...]
    space: int = 0

    @property
    def elements(self) -> int:
        """The number of values."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Its size without padding; 0 for what is no array, such as a token."""
        return self.elements * _BITS.get(self.dtype, 0) // 8


@dataclass(frozen=True)
class Instruction:
    """One line.

    Attributes:
      name: without the percent sign.
      opcode: such as ``fusion``.
      shapes: the results, flat.
      operands: names.
      arguments: what stands in the brackets, names included.
      attributes: what follows.
      root: whether its result is that of the computation.
    """

    name: str
    opcode: str
    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    arguments: str
    attributes: str
    root: bool

    def called(self, attribute: str) -> str | None:
        """The computation that an attribute such as ``body`` names."""
        found = re.search(rf"\b{attribute}=%([\w.\-]+)", self.attributes)
        return None if found is None else found.group(1)


Computation = dict[str, Instruction]
"""By name, in the order of the text."""


@dataclass(frozen=True)
class Program:
    """A whole module.

    Attributes:
      computations: by name.
      entry: the name of the one that is run.
    """

    computations: dict[str, Computation]
    entry: str


def read(text: str) -> Program:
    """Reads a program.

    Raises:
      ValueError: the text has no entry computation.
    """
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is not None:
            current = computations.setdefault(header.group(1), {})
            entry = header.group(1) if line.startswith("ENTRY") else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _LINE.match(line)) is not None:
            instruction = _instruction(found.group(1), found.group(2), root="ROOT %" in line[:12])
            current[instruction.name] = instruction
    if not entry:
        raise ValueError("program text: expected optimised HLO with an ENTRY computation")
    return Program(computations, entry)


def _instruction(name: str, rest: str, *, root: bool) -> Instruction:
    end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
    opened = rest.index("(", end)
    closed = _closing(rest, opened)
    arguments = rest[opened + 1 : closed - 1]
    return Instruction(
        name=name,
        opcode=rest[end:opened].strip(),
        shapes=tuple(shapes(rest[:end])),
        operands=tuple(_NAME.findall(arguments)),
        arguments=arguments,
        attributes=rest[closed:],
        root=root,
    )


def _closing(text: str, start: int) -> int:
    """The index behind the bracket that closes the one at ``start``."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index + 1
    raise ValueError(f"program text: a bracket is never closed in '{text[:80]}'")


def shapes(text: str) -> Iterator[Shape]:
    """Every array that a type speaks of."""
    for dtype, dims, layout in _ARRAY.findall(text):
        space = re.search(r"S\((\d+)\)", layout)
        sizes = tuple(int(size) for size in dims.split(",") if size)
        yield Shape(dtype, sizes, int(space.group(1)) if space else 0)


def trip_count(program: Program, loop: Instruction) -> int | None:
    """How often the body of a ``while`` runs.

    Loops that JAX makes of ``lax.scan`` and ``lax.map`` count a number up from zero by one, to a
    constant.

    Returns:
      The count; None where the program does not tell, as of loops that run until something holds.
    """
    told = re.search(r'known_trip_count":\{"n":"(\d+)"', loop.attributes)
    if told is not None:
        return int(told.group(1))
    condition = program.computations[loop.called("condition") or ""]
    (result,) = (each for each in condition.values() if each.root)
    compared = _comparison(program, condition, result)
    if compared is None:
        return None
    direction, limit = compared
    return {"LT": limit, "LE": limit + 1}[direction] if direction in ("LT", "LE") else None


def _comparison(
    program: Program, computation: Computation, result: Instruction
) -> tuple[str, int] | None:
    """Direction and constant of ``counter < constant``, also where it is within a fusion."""
    if result.opcode == "fusion":
        inner = program.computations[result.called("calls") or ""]
        (root,) = (each for each in inner.values() if each.root)
        if root.opcode != "compare":
            return None
        parameters = [_parameter(inner, name) for name in root.operands]
        sources = [None if n is None else computation[result.operands[n]] for n in parameters]
        constants = [
            own if found is None else found
            for own, found in zip((inner[name] for name in root.operands), sources, strict=True)
        ]
        result = root
    elif result.opcode == "compare":
        constants = [computation[name] for name in result.operands]
    else:
        return None
    direction = re.search(r"direction=(\w+)", result.attributes)
    limit = constants[-1]
    if direction is None or limit.opcode != "constant" or not limit.arguments.isdigit():
        return None
    return direction.group(1), int(limit.arguments)


def _parameter(computation: Computation, name: str) -> int | None:
    instruction = computation[name]
    return int(instruction.arguments) if instruction.opcode == "parameter" else None
