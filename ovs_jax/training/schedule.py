"""The learning rate: linear warm-up and a cosine over all steps, or a power of what is left.

Two habits of the published cosine recipes are kept, because their rates were tuned with them. The
cosine runs over the whole training, warm-up included, so the rate jumps down a little where the
warm-up ends. And the rate is advanced after a step with the index of the step just done: step s
uses the value at s - 1, and steps 0 and 1 share a rate (golden README, "Optimiser").
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike


@dataclass(frozen=True)
class ScheduleConfig:
    """Rates of a recipe, stated for a batch of ``reference_batch``.

    Attributes:
      learning_rate: the rate at the top of the cosine.
      minimum: the rate at its end.
      warmup: the rate of the first step, where there is a warm-up.
      warmup_steps: steps of linear warm-up; 0 for none.
      reference_batch: the rates are multiplied by (global batch) / ``reference_batch``; 0 uses them
        as they stand.
    """

    learning_rate: float
    minimum: float
    warmup: float
    warmup_steps: int = 0
    reference_batch: int = 0

    def scaled(self, batch: int) -> "ScheduleConfig":
        """The same schedule with the rates for a global batch of ``batch``."""
        if not self.reference_batch:
            return self
        factor = batch / self.reference_batch
        return replace(
            self,
            learning_rate=self.learning_rate * factor,
            minimum=self.minimum * factor,
            warmup=self.warmup * factor,
            reference_batch=0,
        )


def warmup_cosine(config: ScheduleConfig, *, steps: int) -> optax.Schedule:
    """The rate that each optimizer step uses.

    Args:
      config: rates for the batch at hand (see `ScheduleConfig.scaled`) and the warm-up.
      steps: optimizer steps of the whole training.

    Returns:
      A function of step indices, counted from 0. At ``steps`` it gives the rate left at the
      end.

    Raises:
      ValueError: the warm-up is longer than the training, or the rates are not scaled yet.
    """
    if steps < 1 or not 0 <= config.warmup_steps <= steps:
        raise ValueError(
            f"schedule.warmup_steps: expected 0 to {steps} (all steps), got {config.warmup_steps}"
        )
    if config.reference_batch:
        raise ValueError("schedule.reference_batch: scale the rates to the batch before using them")

    def rate(step: ArrayLike) -> jax.Array:
        done = jnp.maximum(jnp.asarray(step, jnp.float32) - 1, 0)
        wave = 0.5 * (1 + jnp.cos(jnp.pi * done / steps))
        cosine = config.minimum + (config.learning_rate - config.minimum) * wave
        if not config.warmup_steps:
            return cosine
        rise = config.warmup + (config.learning_rate - config.warmup) * done / config.warmup_steps
        return jnp.where(done < config.warmup_steps, rise, cosine)

    return rate


def polynomial(learning_rate: float, *, steps: int, power: float = 0.9) -> optax.Schedule:
    """The rate of ZegFormer's recipe: ``learning_rate * (1 - step / steps) ** power``.

    Args:
      learning_rate: of the first step; there is no warm-up.
      steps: optimizer steps of the whole training.
      power: 0.9 as published.

    Returns:
      A function of step indices, counted from 0. At ``steps`` and beyond it gives 0.

    Raises:
      ValueError: no steps, or a power that is not positive.
    """
    if steps < 1:
        raise ValueError(f"schedule: expected at least 1 step, got {steps}")
    if not power > 0:
        raise ValueError(f"schedule.power: expected more than 0, got {power}")

    def rate(step: ArrayLike) -> jax.Array:
        left = jnp.maximum(steps - jnp.asarray(step, jnp.float32), 0.0) / steps
        return learning_rate * left**power

    return rate
