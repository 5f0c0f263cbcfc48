import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.models import registry
from ovs_jax.nn import functional

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 64, 96, 3)).astype(np.float32)
TEXTS = RNG.normal(size=(4, 32)).astype(np.float32)
TEXTS /= np.linalg.norm(TEXTS, axis=1, keepdims=True)


def drawn(name, preset):
    """A model with random parameters, none of them zero, small enough to keep features finite."""
    static, params, stats = functional.abstract(registry.build(registry.model_config(name, preset)))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32), params)
    stats = jax.tree.map(lambda x: np.full(x.shape, np.log(100), np.float32), stats)
    return static, params, stats


@pytest.fixture(scope="module")
def nano():
    static, params, stats = drawn("zegformer", "nano_encoders")
    run = jax.jit(lambda p, images, texts: functional.bind(static, p, stats)(images, texts))
    return static, params, stats, run


def test_every_layer_predicts_classes_one_more_than_texts_and_masks_at_a_quarter(nano):
    _, params, _, run = nano
    predicted = run(params, IMAGES, TEXTS)
    assert predicted.logits.shape == (2, 2, 12, 5)
    assert predicted.masks.shape == (2, 2, 12, 16, 24)


def test_images_of_a_batch_do_not_see_each_other_and_texts_neither(nano):
    _, params, _, run = nano
    plain = run(params, IMAGES, TEXTS)
    swapped = run(params, IMAGES[::-1], TEXTS[::-1])
    np.testing.assert_allclose(swapped.masks, plain.masks[:, ::-1], atol=1e-4)
    np.testing.assert_allclose(swapped.logits[..., :4], plain.logits[:, ::-1, :, 3::-1], atol=1e-3)
    np.testing.assert_allclose(swapped.logits[..., 4], plain.logits[:, ::-1, :, 4], atol=1e-3)


def test_the_last_logit_grows_with_the_length_of_the_vector_for_no_object(nano):
    _, params, _, run = nano
    plain = run(params, IMAGES, TEXTS).logits
    head = params["class_head"]
    longer = params | {"class_head": head | {"no_object": 3 * head["no_object"]}}
    logits = run(longer, IMAGES, TEXTS).logits
    np.testing.assert_allclose(logits[..., 4], 3 * plain[..., 4], rtol=1e-4)
    np.testing.assert_array_equal(logits[..., :4], plain[..., :4])
    assert np.abs(plain[..., :4]).max() <= 100


def test_the_last_layer_alone_equals_the_last_of_all(nano):
    static, params, stats, run = nano
    last = jax.jit(
        lambda images, texts: functional.bind(static, params, stats)(images, texts, layers="last")
    )(IMAGES, TEXTS)
    everything = run(params, IMAGES, TEXTS)
    np.testing.assert_allclose(last.masks, everything.masks[-1:], atol=1e-4)
    np.testing.assert_allclose(last.logits, everything.logits[-1:], atol=1e-3)


def test_the_temperature_and_frozen_norms_are_no_parameters(nano):
    _, params, stats, _ = nano
    assert list(functional.paths(stats)) == ["class_head/logit_scale"]
    np.testing.assert_allclose(np.exp(stats["class_head"]["logit_scale"]), 100, rtol=1e-6)
    assert not any("logit_scale" in path for path in functional.paths(params))


def test_class_logits_are_float32_whatever_the_rest_computes_in(nano):
    static, params, stats, _ = nano
    low = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), params)
    images = jax.ShapeDtypeStruct(IMAGES.shape, jnp.bfloat16)

    def run(params, images, texts):
        predicted = functional.bind(static, params, stats)(images, texts)
        return predicted.logits, predicted.masks

    logits, masks = jax.eval_shape(run, low, images, TEXTS)
    assert logits.dtype == jnp.float32
    assert masks.dtype == jnp.bfloat16


def test_images_that_cannot_be_halved_five_times_are_refused(nano):
    static, params, stats, _ = nano
    with pytest.raises(ValueError, match="got 64 x 80 pixels, expected multiples of 32"):
        functional.bind(static, params, stats)(jnp.asarray(IMAGES[:, :, :80]), jnp.asarray(TEXTS))


def test_the_baseline_compares_every_pixel_with_every_text():
    static, params, stats = drawn("zegformer_baseline", "nano")
    run = jax.jit(lambda images, texts: functional.bind(static, params, stats)(images, texts))
    logits = run(IMAGES, TEXTS)
    assert logits.shape == (2, 16, 24, 4)
    assert np.abs(logits).max() <= 100
    np.testing.assert_allclose(run(IMAGES, -TEXTS), -logits, atol=1e-5)
