"""Ways of running layers: equal results and gradients, and what the compiler makes of them."""

import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from ovs_jax.nn import attention, functional
from ovs_jax.nn.attention import Attention
from ovs_jax.nn.execution import Executed, Execution, run_layers
from ovs_jax.nn.transformer import Block

DEPTH, WIDTH, HEADS = 3, 16, 2
RATES = (0.0, 0.2, 0.5)
X = np.random.default_rng(0).normal(size=(4, 5, WIDTH)).astype(np.float32)
KEY = jax.random.key(3)
MASK = jnp.tril(jnp.ones((5, 5), bool))[None, None]


class Stack(Executed):
    """What all encoders have in common."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List(Block(WIDTH, HEADS, rngs=rngs) for _ in range(DEPTH))

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        return run_layers(
            self.blocks,
            x,
            call=lambda block, y, k, rate: block(y, mask=MASK, key=k, rate=rate),
            execution=self.execution,
            key=key,
            rates=RATES,
        )


STATIC, PARAMS, _ = functional.init(Stack, jax.random.key(0))


def compiled(execution: Execution, key: jax.Array | None = KEY) -> Any:
    def loss(params: Any, x: Any) -> Any:
        y = functional.bind(STATIC, params, {}, execution=execution)(x, key)
        return jnp.sum(jnp.sin(3 * y)), y

    wide = jax.tree.map(lambda leaf: 8 * leaf if leaf.ndim > 1 else leaf, PARAMS)
    program = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True)).lower(wide, X).compile()
    return program, program(wide, X)


@pytest.fixture(scope="module")
def plain() -> Any:
    return compiled(Execution())[1]


@pytest.mark.parametrize(
    "execution",
    [Execution(scan=True), Execution("block"), Execution("dots", scan=True)],
    ids=str,
)
def test_outputs_and_gradients_do_not_depend_on_how_layers_are_run(
    execution: Execution, plain: Any
) -> None:
    gradients, y = compiled(execution)[1]
    np.testing.assert_allclose(y, plain[1], rtol=1e-6, atol=1e-6)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain[0]))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * largest),
        gradients,
        plain[0],
    )


def test_without_a_key_a_loop_has_no_noise_either() -> None:
    plain, looped = (compiled(Execution(scan=scan), None)[1][1] for scan in (False, True))
    np.testing.assert_allclose(looped, plain, rtol=1e-6, atol=1e-6)


def kept(execution: Execution) -> set[tuple[int, ...]]:
    """Shapes that the forward pass hands to the backward pass, parameters aside."""
    bound = functional.bind(STATIC, PARAMS, {}, execution=execution)
    _, pullback = jax.vjp(lambda x: bound(x, None), jnp.asarray(X))
    return {leaf.shape for leaf in jax.tree.leaves(pullback) if leaf.ndim > 2}


def test_policies_keep_everything_or_dense_layers_or_inputs_alone() -> None:
    tokens, scores, hidden = (4, 5, WIDTH), (1, 4, HEADS, 5, 5), (4, 5, 4 * WIDTH)
    assert {tokens, scores, hidden} <= kept(Execution())
    dots = kept(Execution("dots"))
    assert {tokens, hidden} <= dots
    assert scores not in dots
    block = kept(Execution("block"))
    assert tokens in block
    assert not {scores, hidden} & block


def test_layers_that_differ_cannot_be_a_loop() -> None:
    layers = [Block(WIDTH, heads, rngs=nnx.Rngs(0)) for heads in (2, 4)]
    with pytest.raises(ValueError, match="expected equal ones"):
        run_layers(
            layers, jnp.asarray(X), call=lambda *_: X, execution=Execution(scan=True), key=None
        )


def test_cudnn_where_it_cannot_be_used_warns_once_and_computes_as_xla(
    caplog: pytest.LogCaptureFixture,
) -> None:
    static, params, _ = functional.init(
        lambda rngs: Attention(WIDTH, HEADS, rngs=rngs), jax.random.key(0)
    )
    attention._warn_once.cache_clear()
    results = []
    with caplog.at_level(logging.WARNING):
        for name in ("xla", "cudnn", "cudnn", "auto"):
            bound = functional.bind(static, params, {}, execution=Execution(attention=name))
            results.append(bound(jnp.asarray(X), jnp.asarray(X)))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    (record,) = caplog.records
    assert "the platform 'cpu'" in record.message


@pytest.mark.parametrize(
    ("dtype", "channels", "expected"),
    [
        (jnp.bfloat16, 64, None),
        (jnp.float32, 64, "makes it float32"),
        (jnp.bfloat16, 12, "multiple of 8"),
        (jnp.bfloat16, 192, "at most 128 channels: 192"),
    ],
)
def test_what_cudnn_takes_is_known(dtype: Any, channels: int, expected: str | None) -> None:
    found = attention.cudnn_obstacle(dtype, channels, platform="gpu")
    assert (found is None) if expected is None else (expected in str(found))


def test_attention_in_bfloat16_takes_its_softmax_in_float32() -> None:
    """In bfloat16 the weights of 512 equal keys would not sum to one."""
    many = jnp.ones((1, 512, 1, 8), jnp.bfloat16)
    jaxpr = jax.make_jaxpr(
        lambda q: attention.attend(q, many, many, mask=None, implementation="xla")
    )(many[:, :1])
    exponentials = [e for e in _equations(jaxpr.jaxpr) if e.primitive.name == "exp"]
    assert exponentials
    assert {str(e.outvars[0].aval.dtype) for e in exponentials} == {"float32"}


def _equations(jaxpr: Any) -> Any:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)
