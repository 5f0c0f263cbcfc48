"""AdamW whose rules are patterns over parameter paths.

A parameter is frozen, or has a factor on the learning rate, or a weight decay of its own, by the
first pattern that matches its whole path. Frozen parameters get neither gradients nor optimizer
state: they are split off before differentiation (`split`) and put back after (`join`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import optax

from ovs_jax.nn import functional


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its rules.

    Attributes:
      beta1: decay of the first moment.
      beta2: decay of the second moment.
      epsilon: added to the root of the second moment.
      weight_decay: decoupled decay, multiplied by the learning rate. Without a rule in ``decays``
        it is applied to everything except one-dimensional parameters and those named ``bias``:
        scalars (temperatures), position embeddings, group tokens and token embeddings do decay.
      clip_norm: the gradients of all trainable parameters together are scaled down to this norm; 0
        for no clipping.
      frozen: patterns of parameters that stay as they are.
      rates: ordered pairs of a pattern and a factor on the learning rate.
      decays: ordered pairs of a pattern and a weight decay in place of the default.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    frozen: tuple[str, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    decays: tuple[tuple[str, float], ...] = ()


def split(
    params: functional.Tree, frozen: Sequence[str]
) -> tuple[functional.Tree, functional.Tree]:
    """Takes the frozen parameters out.

    Args:
      params: all parameters, or their shapes.
      frozen: patterns over paths.

    Returns:
      The trainable and the frozen parameters, two nested dicts without a path in common.
    """
    flat = functional.paths(params)
    is_frozen = functional.match(flat, [(pattern, True) for pattern in frozen], False)
    trainable = {path: leaf for path, leaf in flat.items() if not is_frozen[path]}
    rest = {path: leaf for path, leaf in flat.items() if is_frozen[path]}
    return functional.nest(trainable), functional.nest(rest)


def join(trainable: functional.Tree, frozen: functional.Tree) -> functional.Tree:
    """The inverse of `split`."""
    return functional.nest(functional.paths(trainable) | functional.paths(frozen))


def adamw(
    trainable: functional.Tree, config: OptimizerConfig, *, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """AdamW with clipping and rules by path (golden README, "Optimiser").

    Args:
      trainable: the parameters it will update, or their shapes.
      config: the rules.
      schedule: the learning rate by step.

    Returns:
      An optax transformation for trees like ``trainable``.

    Raises:
      ValueError: nothing is trainable, or a pattern matches no parameter (a misspelt rule would
        otherwise be silently without effect).
    """
    flat = functional.paths(trainable)
    if not flat:
        raise ValueError("optimizer.frozen: every parameter is frozen, expected some to train")
    for field, rules in (("rates", config.rates), ("decays", config.decays)):
        for pattern, _ in rules:
            if not any(functional.match(flat, [(pattern, True)], False).values()):
                raise ValueError(
                    f"optimizer.{field}: the pattern '{pattern}' matches no trainable parameter"
                )
    default = {path: default_decay(path, leaf.ndim, config) for path, leaf in flat.items()}
    decays = functional.match(flat, config.decays, None)
    decays = {path: default[path] if value is None else value for path, value in decays.items()}
    rates = functional.match(flat, config.rates, 1.0)
    decay_tree, rate_tree = functional.nest(decays), functional.nest(rates)

    def decay_and_scale(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        return jax.tree.map(
            lambda u, p, decay, rate: (u + decay * p if decay else u) * rate,
            updates, params, decay_tree, rate_tree,
        )  # fmt: skip

    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.epsilon),
        optax.stateless(decay_and_scale),
        optax.scale_by_learning_rate(schedule),
    )


def default_decay(path: str, dimensions: int, config: OptimizerConfig) -> float:
    """The weight decay of a parameter that no rule names."""
    spared = dimensions == 1 or path.rsplit("/", 1)[-1] == "bias"
    return 0.0 if spared else config.weight_decay
