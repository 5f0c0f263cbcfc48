"""How long a step takes at least, and how much of it is communication.

The estimate is a bound from published rates, not a measurement. Arithmetic runs at the chip's
bfloat16 peak and memory at its full bandwidth, and of each instruction the slower of the two counts
(`cost`). Reductions and gathers use all links of a chip at once; a message to a neighbour uses one
link; every message waits `HOP` seconds for each hop that it goes, those that are under way together
once. Nothing of the communication is hidden behind arithmetic, so its share is an upper bound and
the rest a lower one. The torus is taken to be closed in every direction, and a ring of devices to
go from neighbour to neighbour.
"""

from dataclasses import dataclass

from ovs_jax.planning.cost import Cost
from ovs_jax.planning.topology import Topology

HOP = 1e-6
"""Seconds from one chip to the next: an assumption, no maker publishes it."""


@dataclass(frozen=True)
class Estimate:
    """Of one step.

    Attributes:
      compute: seconds of arithmetic and memory traffic.
      arithmetic: seconds of the matrix products alone.
      memory: seconds of the memory traffic alone.
      transfer: seconds that communication takes by its bytes.
      latency: seconds that it waits.
    """

    compute: float
    arithmetic: float
    memory: float
    transfer: float
    latency: float

    @property
    def communication(self) -> float:
        """Seconds of both parts."""
        return self.transfer + self.latency

    @property
    def step(self) -> float:
        """Seconds of the step."""
        return self.compute + self.communication

    @property
    def communication_share(self) -> float:
        """Of the step, 0 to 1."""
        return self.communication / self.step


def estimate(cost: Cost, machine: Topology) -> Estimate:
    """Puts a cost and published rates together.

    Raises:
      ValueError: no rates are published for the machine, as for CPUs.
    """
    chip = machine.chip
    if chip is None:
        raise ValueError(f"--topology: no rates are published for {machine.name}, so no time")
    transfer = sum(
        times * sent.sent / (chip.link if sent.kind == "collective-permute" else chip.links)
        for sent, times in cost.collectives.items()
    )
    latency = sum(
        times * HOP * (1 if kind == "collective-permute" else 2 * machine.diameter)
        for kind, times in cost.waves.items()
    )
    return Estimate(
        compute=cost.roofline,
        arithmetic=cost.flops / chip.flops,
        memory=cost.bytes / chip.bandwidth,
        transfer=float(transfer),
        latency=float(latency),
    )
