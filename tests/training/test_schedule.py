"""The learning rate against the rates that the published code used."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.training.schedule import ScheduleConfig, polynomial, warmup_cosine


@pytest.mark.parametrize("recipe", ["stage1_like", "stage2_like", "groupvit_like"])
def test_every_step_uses_the_published_rate(golden: Path, recipe: str) -> None:
    stored = np.load(golden / "misc" / "schedule.npz")
    field = {name.removeprefix(f"{recipe}."): stored[name] for name in stored}
    epoch = int(field["iters_per_epoch"])
    steps = round(float(field["epochs_f64"]) * epoch)
    config = ScheduleConfig(
        learning_rate=float(field["base_lr_f64"]),
        minimum=float(field["min_lr_f64"]),
        warmup=float(field["warmup_lr_f64"]),
        warmup_steps=round(float(field["warmup_epochs_f64"]) * epoch),
    )
    rate = warmup_cosine(config, steps=steps)
    used = jax.jit(rate)(jnp.arange(steps))
    np.testing.assert_allclose(used, field["lr_used_f64"], rtol=1e-5)
    np.testing.assert_allclose(rate(steps), field["lr_after_last_f64"], rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    steps=st.integers(1, 500),
    warm=st.floats(0, 1),
    rates=st.tuples(*[st.floats(1e-7, 1e-1)] * 3),
)
def test_the_rate_starts_once_repeated_and_never_leaves_its_bounds(
    steps: int, warm: float, rates: tuple[float, float, float]
) -> None:
    minimum, warmup, top = sorted(rates)
    config = ScheduleConfig(top, minimum, warmup, warmup_steps=int(warm * steps))
    some = jnp.asarray([0, 1, *np.linspace(1, steps, 14, dtype=int)])
    used = np.asarray(warmup_cosine(config, steps=steps)(some))
    assert used[0] == used[1] == pytest.approx(warmup if config.warmup_steps else top, rel=1e-6)
    assert used.min() >= minimum * (1 - 1e-5)
    assert used.max() <= top * (1 + 1e-5)


def test_rates_grow_with_the_batch() -> None:
    config = ScheduleConfig(1.6e-3, 4e-5, 4e-6, warmup_steps=3, reference_batch=4096)
    scaled = config.scaled(1024)
    assert (scaled.learning_rate, scaled.minimum, scaled.warmup) == (4e-4, 1e-5, 1e-6)
    assert scaled.scaled(17) == scaled
    with pytest.raises(ValueError, match="reference_batch"):
        warmup_cosine(config, steps=10)


def test_a_warmup_longer_than_the_training_is_refused() -> None:
    with pytest.raises(ValueError, match=r"schedule.warmup_steps: expected 0 to 10 .* got 11"):
        warmup_cosine(ScheduleConfig(1.0, 0.1, 0.1, warmup_steps=11), steps=10)


def test_the_polynomial_rate_equals_the_published_one() -> None:
    """At the steps that the reference numbers of ZegFormer hold, 1e-4 over 60k steps."""
    rate = polynomial(1e-4, steps=60_000)
    published = {
        0: 1e-4,
        1: 9.999849999874999e-05,
        1000: 9.84987422935722e-05,
        30000: 5.358867312681466e-05,
        59999: 5.007994862237932e-09,
        60000: 0.0,
        70000: 0.0,
    }
    used = jax.jit(jax.vmap(rate))(jnp.asarray(list(published)))
    np.testing.assert_allclose(used, list(published.values()), rtol=1e-5, atol=1e-15)


def test_a_polynomial_without_steps_or_power_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1 step, got 0"):
        polynomial(1e-4, steps=0)
    with pytest.raises(ValueError, match=r"schedule\.power: expected more than 0, got 0"):
        polynomial(1e-4, steps=1, power=0.0)
