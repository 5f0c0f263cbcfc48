import jax
import numpy as np
import pytest

from ovs_jax.models.projector import Projector, ProjectorConfig
from ovs_jax.nn import functional

X = np.random.default_rng(0).normal(size=(6, 3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def parts():
    config = ProjectorConfig(hidden=7, outputs=4)
    return functional.init(lambda rngs: Projector(5, config, rngs=rngs), jax.random.key(0))


@pytest.fixture(scope="module")
def project(parts):
    def run(params, stats, x, *, train=False):
        model = functional.bind(parts[0], params, stats, train=train)
        return model(x), functional.batch_statistics(model)

    return jax.jit(run, static_argnames="train")


def in_numpy(params, x, mean, variance):
    flat = {name: np.asarray(leaf, np.float64) for name, leaf in functional.paths(params).items()}
    hidden = x @ flat["hidden/kernel"] + flat["hidden/bias"]
    if mean is None:
        mean, variance = hidden.mean((0, 1)), hidden.var((0, 1))
    unit = (hidden - mean) / np.sqrt(variance + 1e-5) * flat["norm/scale"] + flat["norm/bias"]
    return np.maximum(unit, 0) @ flat["out/kernel"] + flat["out/bias"]


def test_evaluation_uses_the_running_statistics(parts, project):
    _, params, stats = parts
    y, kept = project(params, stats, X)
    np.testing.assert_allclose(y, in_numpy(params, X, np.zeros(7), np.ones(7)), atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, kept, stats)


def test_training_uses_the_statistics_over_batch_and_tokens_and_moves_the_running_ones(
    parts, project
):
    _, params, stats = parts
    y, moved = project(params, stats, X, train=True)
    np.testing.assert_allclose(y, in_numpy(params, X, None, None), atol=1e-5)
    assert (np.asarray(moved["norm"]["variance"]) != stats["norm"]["variance"]).all()


def test_a_token_is_projected_alike_alone_and_among_others(parts, project):
    _, params, stats = parts
    y, _ = project(params, stats, X)
    alone, _ = project(params, stats, X[:, 1])
    np.testing.assert_allclose(alone, y[:, 1], atol=1e-5)


def test_no_hidden_channels_make_a_single_dense_layer():
    config = ProjectorConfig(hidden=0, outputs=4)
    static, params, stats = functional.init(
        lambda rngs: Projector(5, config, rngs=rngs), jax.random.key(0)
    )
    assert params.keys() == {"out"}
    assert stats == {}
    run = jax.jit(lambda x: functional.bind(static, params, stats, train=True)(x))
    np.testing.assert_allclose(run(X), X @ np.asarray(params["out"]["kernel"]), atol=1e-5)
