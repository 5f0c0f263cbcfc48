import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.losses.contrastive import clamped_scale, contrastive, unit

contrastive_loss = jax.jit(contrastive)


@pytest.mark.parametrize("size", ["ovs_tiny", "ovs_mid"])
@pytest.mark.parametrize(
    ("first", "second", "name"),
    [("image_x", "text_x", "matching"), ("answer_pred", "answer_x", "entity")],
)
def test_the_loss_equals_the_published_one(golden, size, first, second, name):
    arrays = np.load(golden / f"losses/contrastive_{size}.npz")
    loss = contrastive_loss(
        jnp.asarray(arrays[first]),
        jnp.asarray(arrays[second]),
        logit_scale=jnp.asarray(arrays["logit_scale"]),
    )
    np.testing.assert_allclose(loss, arrays[name], atol=1e-5)


def test_two_orthogonal_pairs_give_the_loss_computed_by_hand():
    pairs = jnp.eye(2) * 7.0  # the length does not count
    loss = contrastive_loss(pairs, pairs, logit_scale=jnp.log(jnp.asarray(3.0)))
    np.testing.assert_allclose(loss, np.log(1 + np.exp(-3.0)), rtol=1e-6)


def test_the_scale_never_exceeds_a_hundred():
    assert clamped_scale(jnp.asarray(9.0)) == 100.0
    np.testing.assert_allclose(clamped_scale(jnp.asarray(1.0)), np.e, rtol=1e-6)


def test_above_the_clamp_the_scale_gets_no_gradient():
    images, texts = jax.random.normal(jax.random.key(0), (2, 4, 8))
    gradient = jax.grad(lambda s: contrastive_loss(images, texts, logit_scale=s))
    assert gradient(jnp.asarray(9.0)) == 0.0
    assert gradient(jnp.asarray(2.0)) != 0.0


def test_a_zero_embedding_keeps_loss_and_gradient_finite():
    texts = jax.random.normal(jax.random.key(1), (3, 5))
    value, gradient = jax.value_and_grad(
        lambda x: contrastive_loss(x, texts, logit_scale=jnp.asarray(2.0))
    )(jnp.zeros((3, 5)))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_half_precision_embeddings_are_compared_in_float32():
    image, text = jax.random.normal(jax.random.key(2), (2, 4, 8)).astype(jnp.bfloat16)
    scale = jnp.asarray(4.0)
    loss = contrastive_loss(image, text, logit_scale=scale)
    exact = contrastive_loss(image.astype(jnp.float32), text.astype(jnp.float32), logit_scale=scale)
    assert loss.dtype == jnp.float32
    assert loss == exact


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_the_order_of_pairs_and_the_swap_of_sides_change_nothing(seed):
    rng = np.random.default_rng(seed)
    image, text = rng.normal(size=(2, 5, 6)).astype(np.float32)
    scale = jnp.asarray(2.5)
    loss = contrastive_loss(jnp.asarray(image), jnp.asarray(text), logit_scale=scale)
    order = rng.permutation(5)
    swapped = contrastive_loss(
        jnp.asarray(text[order]), jnp.asarray(image[order]), logit_scale=scale
    )
    np.testing.assert_allclose(loss, swapped, rtol=1e-5)
    assert loss >= 0


def test_unit_vectors_have_length_one():
    x = jax.random.normal(jax.random.key(3), (4, 3, 7)) * 100
    np.testing.assert_allclose(jnp.linalg.norm(unit(x), axis=-1), 1.0, rtol=1e-6)
