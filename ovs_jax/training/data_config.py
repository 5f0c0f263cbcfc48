"""What the configs of all kinds of training data have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ovs_jax.data.pipeline_config import ReadingConfig
from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig

SYNTHETIC = "synthetic"
HELD_OUT = 500
"""Scenes of the synthetic world that are judged where no limit is set."""


@dataclass(frozen=True, kw_only=True)
class TrainingDataConfig(ReadingConfig):
    """Where training data come from, and how they are read.

    Attributes:
      source: ``synthetic``, or where real data are.
      world: the synthetic world, if that is the source.
      world_seed: which of many such worlds.
      world_length: its number of training scenes.
    """

    source: str = SYNTHETIC
    world: WorldConfig = field(default_factory=WorldConfig)
    world_seed: int = 0
    world_length: int = 20_000

    def training_world(self) -> SyntheticWorld:
        """The scenes of the synthetic world to learn from."""
        return SyntheticWorld(self.world, seed=self.world_seed, length=self.world_length)

    def held_out_world(self, limit: int) -> SyntheticWorld:
        """Scenes of the synthetic world to judge by; 0 for `HELD_OUT` of them."""
        return SyntheticWorld(
            self.world, split="validation", seed=self.world_seed, length=limit or HELD_OUT
        )

    def reading(self) -> Mapping[str, Any]:
        """The values of `ReadingConfig`'s fields."""
        return {item.name: getattr(self, item.name) for item in fields(ReadingConfig)}
