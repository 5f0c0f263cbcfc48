"""What ``ovs-jax plan`` says: of one choice in full, of several as a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ovs_jax.planning import collectives
from ovs_jax.planning.cost import Cost, count
from ovs_jax.planning.estimate import HOP, Estimate, estimate
from ovs_jax.planning.step_program import Choice, Compiled
from ovs_jax.planning.topology import Topology

GIBI = 2**30


@dataclass(frozen=True)
class Planned:
    """A choice with everything that is known of it.

    Attributes:
      machine: that it was compiled for.
      compiled: the program.
      cost: what a chip does in a step.
      model_flops: of a step on all chips, as counted from the model (`training.flops`); None where
        the model's are not counted.
      time: None where no rates are published.
    """

    machine: Topology
    compiled: Compiled
    cost: Cost
    model_flops: float | None
    time: Estimate | None

    @property
    def fits(self) -> bool | None:
        """Whether it fits into a chip's memory; None where that is not known."""
        chip = self.machine.chip
        return None if chip is None else self.compiled.memory.total <= chip.memory

    @property
    def pairs_per_second(self) -> float:
        """Images with their texts, of all chips; infinite where no time is known."""
        batch = self.compiled.choice.batch_size
        return math.inf if self.time is None else batch / self.time.step

    @property
    def utilisation(self) -> float:
        """The share of the chips' peak that the model's arithmetic uses, or else the program's."""
        if self.time is None or self.machine.chip is None:
            return math.nan
        own = self.cost.flops * self.machine.size if self.model_flops is None else self.model_flops
        return own / self.time.step / (self.machine.chip.flops * self.machine.size)


def plan_of(compiled: Compiled, machine: Topology, *, pair_flops: float | None) -> Planned:
    """Counts a compiled step and estimates its time.

    Args:
      compiled: the step.
      machine: that it is for.
      pair_flops: of one image with its texts, from `training.flops.training_flops`; None where
        they are not counted.
    """
    chip = machine.chip
    rates = {} if chip is None else {"flops_rate": chip.flops, "bandwidth": chip.bandwidth}
    cost = count(compiled.program, devices=machine.size, **rates)
    return Planned(
        machine=machine,
        compiled=compiled,
        cost=cost,
        model_flops=None if pair_flops is None else pair_flops * compiled.choice.batch_size,
        time=None if chip is None else estimate(cost, machine),
    )


def describe(plan: Planned, *, steps: float = 0.0) -> str:
    """Everything about one choice.

    Args:
      plan: from `plan_of`.
      steps: of the whole recipe, for its hours; 0 where it is not known.
    """
    lines = [_title(plan), "", *_memory(plan), "", *_work(plan), "", *_sent(plan)]
    if plan.time is not None:
        lines += ["", *_times(plan, plan.time, steps)]
    return "\n".join(lines)


def communication(plan: Planned) -> str:
    """What is sent, and nothing that changes from run to run: the text of the golden files."""
    return "\n".join([_named_in_words(plan), *collectives.by_size(plan.cost.collectives)]) + "\n"


def _title(plan: Planned) -> str:
    return f"{_named_in_words(plan)}; compiled in {plan.compiled.seconds:.0f} s"


def _named_in_words(plan: Planned) -> str:
    choice = plan.compiled.choice
    data, fsdp, tensor = choice.mesh
    return (
        f"{plan.machine.name}: {plan.machine.size} chips, data {data} x fsdp {fsdp} x tensor "
        f"{tensor}, batch {choice.batch_size}, remat {choice.remat}"
    )


def _memory(plan: Planned) -> list[str]:
    memory, chip = plan.compiled.memory, plan.machine.chip
    parts = vars(memory) | {"total": memory.total}
    lines = ["memory of a chip"]
    lines += [f"  {name:<12} {size / GIBI:9.3f} GiB" for name, size in parts.items()]
    if chip is not None:
        verdict = "fits" if plan.fits else "DOES NOT FIT"
        lines.append(
            f"  of           {chip.memory / GIBI:9.3f} GiB HBM ({memory.total / chip.memory:.0%}): "
            f"{verdict}"
        )
    return lines


def _work(plan: Planned) -> list[str]:
    cost, size = plan.cost, plan.machine.size
    counted = cost.flops * size
    lines = ["arithmetic of a step"]
    share = ""
    if plan.model_flops is not None:
        lines.append(f"  model        {plan.model_flops / 1e12:12.4g} TFLOP, counted by hand")
        share = f", {counted / plan.model_flops:.3f} of the model's"
    lines += [
        f"  program      {counted / 1e12:12.4g} TFLOP in matrix products of all chips{share}",
        f"  XLA says     {plan.compiled.xla_flops * size / 1e12:12.4g} TFLOP, "
        "counting the body of a loop once",
        f"  memory       {cost.bytes / 1e9:12.4g} GB read and written by a chip (XLA says "
        f"{plan.compiled.xla_bytes / 1e9:.4g}, loops once)",
    ]
    if cost.unknown_loops:
        lines.append(f"  {cost.unknown_loops} loops of unknown length count once")
    return lines


def _sent(plan: Planned) -> list[str]:
    found = plan.cost.collectives
    total = sum(times * each.sent for each, times in found.items())
    lines = [f"communication of a step: a chip sends {total / 1e6:.4g} MB"]
    return lines + [f"  {line}" for line in collectives.table(found)]


def _times(plan: Planned, time: Estimate, steps: float) -> list[str]:
    rows = {
        "matrix products": time.arithmetic,
        "memory traffic": time.memory,
        "the longer, by instruction": time.compute,
        "sending": time.transfer,
        f"waiting, {HOP * 1e6:.0f} us a hop": time.latency,
        "step": time.step,
    }
    lines = ["time of a step, at least (published rates; nothing sent is hidden)"]
    lines += [f"  {name:<27} {seconds * 1e3:10.3f} ms" for name, seconds in rows.items()]
    lines += [
        f"  communication {time.communication_share:.1%} of the step, at most",
        f"  {plan.pairs_per_second:,.0f} pairs/s at most, {plan.utilisation:.1%} of peak",
    ]
    if steps:
        hours = steps * time.step / 3600
        lines.append(
            f"  {steps:,.0f} steps of the recipe: {hours:.3g} hours at least, "
            f"{hours * plan.machine.size:,.0f} chip hours"
        )
    else:
        lines.append("  --records tells how many pairs there are, for the hours of the recipe")
    return lines


COLUMNS = (
    "machine", "chips", "mesh", "batch", "remat", "GiB a chip", "fits", "TFLOP a chip",
    "GB a chip", "MB sent", "step ms", "sending %", "pairs/s", "of peak %",
)  # fmt: skip


def table(rows: Sequence[Planned | tuple[Topology, Choice, str]]) -> str:
    """Choices side by side, in Markdown.

    Args:
      rows: what was planned; or machine, choice and the reason why there is no plan.
    """
    cells: list[list[Any]] = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for row in rows:
        cells.append(_row(row) if isinstance(row, Planned) else _failed(*row))
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in cells)


def _named(machine: Topology, choice: Choice) -> list[Any]:
    mesh = ",".join(map(str, choice.mesh))
    return [machine.name, machine.size, mesh, choice.batch_size, choice.remat]


def _failed(machine: Topology, choice: Choice, reason: str) -> list[Any]:
    empty = [""] * (len(COLUMNS) - 7)
    return [*_named(machine, choice), "", f"no: {reason}", *empty]


def _row(plan: Planned) -> list[Any]:
    cost, time = plan.cost, plan.time
    sent = sum(times * each.sent for each, times in cost.collectives.items())
    fits = {None: "?", True: "yes", False: "no"}[plan.fits]
    times = (
        ["", "", "", ""]
        if time is None
        else [
            f"{time.step * 1e3:.1f}",
            f"{100 * time.communication_share:.1f}",
            f"{plan.pairs_per_second:,.0f}",
            f"{100 * plan.utilisation:.1f}",
        ]
    )
    return [
        *_named(plan.machine, plan.compiled.choice),
        f"{plan.compiled.memory.total / GIBI:.2f}",
        fits,
        f"{cost.flops / 1e12:.3f}",
        f"{cost.bytes / 1e9:.1f}",
        f"{sent / 1e6:.1f}",
        *times,
    ]
