"""CLIP's look at masks: a nano model with random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.evaluation.image_branch import embed_masks
from ovs_jax.evaluation.regions import region_inputs, resize
from ovs_jax.models.text.config import TextConfig
from ovs_jax.models.vision.clip import Clip
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.nn import functional


@pytest.fixture(scope="module")
def run():
    """``(function, *arrays)``: what a function of a bound CLIP and arrays gives."""
    config = ClipConfig(
        image=VisionConfig(
            image_size=32, patch_size=16, width=16, depth=2, heads=2, hidden=32, pre_norm=True
        ),
        text=TextConfig(vocabulary=8, length=4, width=8, depth=1, heads=1, hidden=8),
        embedding=12,
    )
    static, params, stats = functional.abstract(lambda rngs: Clip(config, rngs=rngs))
    rng = np.random.default_rng(0)
    draw = lambda x: (0.2 * rng.standard_normal(x.shape)).astype(np.float32)  # noqa: E731
    params, stats = jax.tree.map(draw, (params, stats))

    def call(function, *arrays):
        return jax.jit(lambda p, s, *a: function(functional.bind(static, p, s), *a))(
            params, stats, *arrays
        )

    return call


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 8, 16)).astype(np.float32)
    logits[1] = 1.0
    return rng.normal(size=(32, 64, 3)).astype(np.float32), logits


def test_every_mask_is_embedded_by_its_own_picture(run, scene):
    image, logits = scene
    found = run(lambda clip, x, m: embed_masks(clip, x, m, look="crop_mask", chunk=2), *scene)
    full = resize(jnp.asarray(logits)[..., None], (32, 64))[..., 0]
    pictures = region_inputs(jnp.asarray(image), full, style="crop_mask", size=32)
    want = run(lambda clip, x: clip.embed_image(x), pictures)
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_pooling_over_everything_is_the_mean_of_all_patches(run, scene):
    def both(clip, image, masks):
        pooled = embed_masks(clip, image, masks, look="pool")
        return pooled, clip.embed_patches(image[None])[0]

    pooled, patches = run(both, *scene)
    assert patches.shape == (2, 4, 12)
    np.testing.assert_allclose(pooled[1], np.asarray(patches).mean((0, 1)), atol=1e-6)
    assert np.abs(pooled[0] - pooled[1]).max() > 1e-4


def test_in_the_last_block_of_dense_features_patches_do_not_mix(run, scene):
    """The features are those of a last block in which every token sees itself alone."""
    image = scene[0][None]

    def masked(clip, x):
        encoder = clip.image_encoder
        tokens, _ = encoder.embed(x)
        tokens = encoder.blocks[0](tokens)
        alone = jnp.eye(tokens.shape[1], dtype=bool)[None, None]
        return encoder.norm(encoder.blocks[1](tokens, mask=alone))[0, 1:]

    dense = run(lambda clip, x: clip.image_encoder.dense(x), image)
    np.testing.assert_allclose(dense.reshape(-1, 16), run(masked, image), atol=1e-5)
