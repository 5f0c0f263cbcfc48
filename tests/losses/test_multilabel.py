import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.losses.contrastive import contrastive
from ovs_jax.losses.multilabel import multi_label_contrastive, shared_prompts

contrastive_loss = jax.jit(contrastive)
multi_label_loss = jax.jit(multi_label_contrastive)


def test_one_prompt_an_image_is_the_plain_contrastive_loss():
    image, text = jax.random.normal(jax.random.key(0), (2, 6, 8))
    scale = jnp.asarray(2.0)
    np.testing.assert_allclose(
        multi_label_loss(image, text[:, None], logit_scale=scale),
        contrastive_loss(image, text, logit_scale=scale),
        rtol=1e-6,
    )


def test_two_images_with_two_prompts_give_the_loss_computed_by_hand():
    image = jnp.eye(2)
    # Image 0 has one prompt like itself and one like image 1; image 1 has two like itself.
    prompts = jnp.asarray([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    loss = multi_label_loss(image, prompts, logit_scale=jnp.asarray(0.0))
    e = np.e
    over_prompts = np.mean(
        [np.log((e + 3) / e), np.log(e + 3), np.log((3 * e + 1) / e), np.log((3 * e + 1) / e)]
    )
    over_images = np.mean([np.log((e + 1) / e)] * 3 + [np.log(e + 1)])
    np.testing.assert_allclose(loss, (over_prompts + over_images) / 2, rtol=1e-6)


def test_repeating_every_prompt_adds_only_the_logarithm_of_their_number_to_one_side():
    image, text = jax.random.normal(jax.random.key(1), (2, 5, 4))
    scale = jnp.asarray(1.5)
    once = multi_label_loss(image, text[:, None], logit_scale=scale)
    thrice = multi_label_loss(image, jnp.repeat(text[:, None], 3, axis=1), logit_scale=scale)
    np.testing.assert_allclose(thrice - once, np.log(3) / 2, rtol=1e-5)


def test_gradients_are_finite_for_a_zero_image():
    prompts = jax.random.normal(jax.random.key(2), (3, 2, 4))
    gradient = jax.grad(lambda x: multi_label_loss(x, prompts, logit_scale=jnp.asarray(1.0)))(
        jnp.zeros((3, 4))
    )
    assert np.isfinite(gradient).all()


def test_prompts_with_the_same_tokens_fit_each_others_images():
    ids = jnp.asarray([[[1, 2], [3, 4]], [[3, 4], [5, 6]], [[7, 8], [7, 8]]])
    expected = np.zeros((3, 3, 2), bool)
    expected[[0, 0, 0, 1, 1, 1, 2, 2], [0, 0, 1, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1, 0, 1]] = True
    np.testing.assert_array_equal(shared_prompts(ids), expected)


def test_without_equal_prompts_sharing_changes_nothing():
    image = jax.random.normal(jax.random.key(0), (4, 8))
    prompts = jax.random.normal(jax.random.key(1), (4, 3, 8))
    scale = jnp.asarray(2.0)
    positive = shared_prompts(jnp.arange(24).reshape(4, 3, 2))
    np.testing.assert_allclose(
        multi_label_contrastive(image, prompts, logit_scale=scale, positive=positive),
        multi_label_contrastive(image, prompts, logit_scale=scale),
        rtol=1e-6,
    )
