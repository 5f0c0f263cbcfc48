"""Communication between chips in a compiled program, by kind, size and group."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ovs_jax.planning.program_text import Instruction, Shape

KINDS = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all",
    "collective-permute", "collective-broadcast",
)  # fmt: skip


@dataclass(frozen=True)
class Collective:
    """One instruction of communication.

    Attributes:
      kind: one of `KINDS`.
      dtypes: what is sent, by dtype, in bytes; of the whole on one chip.
      group: how many chips take part together.
      origin: the primitive of the program it comes from, such as ``ppermute``.
    """

    kind: str
    dtypes: tuple[tuple[str, int], ...]
    group: int
    origin: str

    @property
    def bytes(self) -> int:
        """Payload on one chip: of all-gather the result, of all others the operand."""
        return sum(size for _, size in self.dtypes)

    @property
    def sent(self) -> float:
        """Bytes that one chip sends, by ring algorithms."""
        share = (self.group - 1) / self.group
        return {"all-reduce": 2 * share, "collective-permute": 1.0}.get(
            self.kind, share
        ) * self.bytes


def collective(
    instruction: Instruction, operands: Iterable[Shape], *, devices: int
) -> Collective | None:
    """What an instruction communicates.

    Args:
      instruction: any.
      operands: the arrays it takes.
      devices: of the whole program.

    Returns:
      None for what does not communicate, the second half (``-done``) of what runs in the
      background included.
    """
    kind = instruction.opcode.removesuffix("-start")
    if kind not in KINDS:
        return None
    group = group_size(instruction.attributes, devices=devices)
    sizes: Counter[str] = Counter()
    for shape in operands:
        sizes[shape.dtype] += shape.bytes * (group if kind == "all-gather" else 1)
    name = re.search(r'op_name="([^"]*)"', instruction.attributes)
    # What the compiler has joined is named (first:second:...), or cut off in the middle.
    words = [] if name is None else re.findall(r"\w+", name.group(1).rsplit("/", 1)[-1])
    origin = "+".join(sorted(set(words)))
    return Collective(kind, tuple(sorted(sizes.items())), group, origin)


def group_size(attributes: str, *, devices: int) -> int:
    """How many devices take part, from any of the three ways in which HLO writes groups."""
    named = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", attributes)
    if named is not None:
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named.group(1)))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", named.group(2)))
    folded = re.search(r"replica_groups=\[(\d+),(\d+)\]<=", attributes)
    if folded is not None:
        return int(folded.group(2))
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", attributes)
    return len(listed.group(1).split(",")) if listed is not None else devices


def table(found: Mapping[Collective, int]) -> list[str]:
    """One line for each kind, dtype, group and origin, by name.

    Args:
      found: how often each runs in a step.

    Returns:
      Lines such as ``all-reduce f32 over 8: 12 x, 3456 bytes in all (reduce_sum)``.
    """
    totals: dict[tuple[str, str, int, str], list[int]] = {}
    for each, times in found.items():
        key = (each.kind, _dtypes(each), each.group, each.origin)
        entry = totals.setdefault(key, [0, 0])
        entry[0] += times
        entry[1] += times * each.bytes
    return [
        f"{kind} {dtypes} over {group}: {times} x, {size} bytes in all ({origin})"
        for (kind, dtypes, group, origin), (times, size) in sorted(totals.items())
    ]


def by_size(found: Mapping[Collective, int]) -> list[str]:
    """One line for each kind, dtype, group and size, the largest last; what golden files hold.

    Origins are left out: what the compiler joins is named after any of its parts.

    Args:
      found: how often each runs in a step.

    Returns:
      Lines such as ``all-reduce f32 over 8: 12 x 288 bytes``.
    """
    times: Counter[tuple[str, str, int, int]] = Counter()
    for each, runs in found.items():
        times[each.kind, _dtypes(each), each.group, each.bytes] += runs
    return [
        f"{kind} {dtypes} over {group}: {runs} x {size} bytes"
        for (kind, dtypes, group, size), runs in sorted(times.items())
    ]


def _dtypes(each: Collective) -> str:
    return "+".join(name for name, _ in each.dtypes)
