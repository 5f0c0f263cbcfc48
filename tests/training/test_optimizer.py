"""AdamW with path rules, against values worked out by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from parity.adamw import RECIPE

from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.training import optimizer
from ovs_jax.training.optimizer import OptimizerConfig

PARAMS = {
    "logit_scale": jnp.float32(2.5),
    "encoder": {
        "position": jnp.full((3, 2), 0.5),
        "group_tokens": jnp.full((4, 2), -0.5),
        "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
        "attention": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.ones((1, 2))},
    },
    "text": {"embedding": jnp.full((5, 2), 3.0)},
}


def constant(step: Any) -> jax.Array:
    return jnp.asarray(0.1, jnp.float32)


def first_step(config: OptimizerConfig, gradients: functional.Tree) -> dict[str, np.ndarray]:
    trainable, _ = optimizer.split(PARAMS, config.frozen)
    kept, _ = optimizer.split(gradients, config.frozen)
    transform = optimizer.adamw(trainable, config, schedule=constant)
    updates, _ = transform.update(kept, transform.init(trainable), trainable)
    return {path: np.asarray(leaf) for path, leaf in functional.paths(updates).items()}


def test_without_a_gradient_only_weight_decay_moves_and_spares_vectors_and_biases() -> None:
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates = first_step(OptimizerConfig(weight_decay=0.05), zeros)
    moved = {path for path, update in updates.items() if np.any(update)}
    assert moved == {
        "logit_scale",
        "encoder/position",
        "encoder/group_tokens",
        "encoder/attention/kernel",
        "text/embedding",
    }
    np.testing.assert_allclose(updates["text/embedding"], -0.1 * 0.05 * 3.0, rtol=1e-6)


def test_a_step_follows_the_formula_of_adamw() -> None:
    gradients = jax.tree.map(lambda x: jnp.full_like(x, 1e-3), PARAMS)
    config = OptimizerConfig(epsilon=1e-4, clip_norm=0.0, rates=(("encoder/.*", 0.5),))
    updates = first_step(config, gradients)
    adam = 1e-3 / (1e-3 + 1e-4)
    np.testing.assert_allclose(updates["text/embedding"], -0.1 * (adam + 0.15), rtol=1e-5)
    np.testing.assert_allclose(updates["encoder/attention/kernel"], -0.05 * (adam + 0.1), rtol=1e-5)
    np.testing.assert_allclose(updates["encoder/norm/scale"], -0.05 * adam, rtol=1e-5)


def test_the_first_matching_rule_gives_the_decay() -> None:
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    rules = (("encoder/norm/scale", 1.0), ("encoder/.*", 0.0))
    updates = first_step(OptimizerConfig(decays=rules), zeros)
    np.testing.assert_allclose(updates["encoder/norm/scale"], -0.1)
    assert not np.any(updates["encoder/attention/kernel"])
    assert np.any(updates["text/embedding"])


def test_clipping_counts_the_trainable_gradients_only() -> None:
    gradients = jax.tree.map(lambda x: jnp.full_like(x, 0.3), PARAMS)
    frozen = ("encoder/.*", "text/.*")
    trainable, _ = optimizer.split(PARAMS, frozen)
    kept, _ = optimizer.split(gradients, frozen)
    # Only the temperature is left, with a norm of 0.3: a limit of 0.5 leaves it alone although all
    # gradients together exceed it.
    assert optax.tree.norm(gradients) > 0.5
    config = OptimizerConfig(epsilon=1.0, clip_norm=0.5, weight_decay=0.0, frozen=frozen)
    np.testing.assert_allclose(
        first_step(config, gradients)["logit_scale"], -0.1 * 0.3 / 1.3, rtol=1e-5
    )
    config = OptimizerConfig(epsilon=1.0, clip_norm=0.1, weight_decay=0.0, frozen=frozen)
    np.testing.assert_allclose(
        first_step(config, gradients)["logit_scale"], -0.1 * 0.1 / 1.1, rtol=1e-5
    )
    state = optimizer.adamw(trainable, config, schedule=constant).init(trainable)
    assert all(leaf.ndim == 0 for leaf in jax.tree.leaves(state))
    assert set(kept) == {"logit_scale"}


def test_splitting_and_joining_gives_the_parameters_back() -> None:
    trainable, frozen = optimizer.split(PARAMS, ("encoder/norm/.*", "text/.*"))
    assert set(functional.paths(frozen)) == {
        "encoder/norm/scale",
        "encoder/norm/bias",
        "text/embedding",
    }
    assert "text" not in trainable
    joined = optimizer.join(trainable, frozen)
    assert jax.tree.structure(joined) == jax.tree.structure(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, joined, PARAMS)


def test_a_rule_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"optimizer.rates: the pattern 'encodr/\.\*'"):
        first_step(OptimizerConfig(rates=(("encodr/.*", 0.1),)), PARAMS)
    with pytest.raises(ValueError, match=r"optimizer.decays.*matches no trainable"):
        first_step(OptimizerConfig(frozen=("text/.*",), decays=(("text/.*", 0.1),)), PARAMS)
    with pytest.raises(ValueError, match=r"pattern '\(': expected a regular expression"):
        functional.match(["a"], [("(", True)], False)
    with pytest.raises(ValueError, match=r"optimizer.frozen: every parameter"):
        first_step(OptimizerConfig(frozen=(".*",)), PARAMS)


def test_the_recipe_of_zegformer_spares_norms_and_queries_but_no_bias() -> None:
    """The rules that scripts/verify_golden.py compares with the published parameter groups."""
    config = registry.model_config("zegformer", "nano_encoders")
    paths = functional.paths(functional.abstract(registry.build(config))[1])
    decays = functional.match(paths, RECIPE.decays, RECIPE.weight_decay)
    spared = {path for path, decay in decays.items() if not decay}
    expected = {path for path in paths if f"/{path}".split("/")[-2].rstrip("123").endswith("norm")}
    assert spared == expected | {"query_embedding"}
    assert decays["class_head/no_object"] == decays["mask_head/layers/0/bias"] == 1e-4
    rates = functional.match(paths, RECIPE.rates, 1.0)
    assert {path for path, rate in rates.items() if rate != 1} == {
        path for path in paths if path.startswith("backbone/")
    }
