"""The plain vision transformer and CLIP. Their numbers are compared with the libraries in
tests/conversion/test_reference.py; CLIP's also with the reference numbers here.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights.random_models import SMALL

from ovs_jax.models import registry
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.nn import functional
from ovs_jax.nn.position import resize_positions

CONFIG = replace(SMALL["dino"], width=16, heads=2, hidden=32, depth=1)


@pytest.fixture(scope="module")
def parts():
    return functional.init(registry.build(CONFIG), jax.random.key(0))


def test_clip_has_its_published_count():
    assert functional.count(registry.shapes(ClipConfig())[1]) == 149_620_737


def test_the_class_token_comes_first_and_patches_row_by_row(parts):
    images = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))
    features = jax.jit(functional.bind(*parts))(images)
    assert features.pooled.shape == (2, 16)
    assert features.tokens.shape == (2, 16, 16)
    np.testing.assert_allclose(features.tokens.mean(-1), 0, atol=1e-5)  # after the norm
    # Without blocks a token tells of its own patch: only that of the third changes.
    shallow = functional.init(registry.build(replace(CONFIG, depth=0)), jax.random.key(0))
    encode = jax.jit(functional.bind(*shallow))
    before, after = encode(images), encode(images.at[:, :16, 32:48].add(1.0))
    changed = np.abs(np.asarray(after.tokens - before.tokens)).max((0, 2)) > 0
    assert np.flatnonzero(changed).tolist() == [2]


def test_positions_are_resized_but_for_the_class_token(parts):
    model = functional.bind(*parts)
    table = model.position_embedding[...]
    np.testing.assert_array_equal(model.positions(4, 4), table)
    resized = model.positions(2, 6)
    np.testing.assert_array_equal(resized[0], table[0])
    expected = resize_positions(table[1:].reshape(4, 4, -1), 2, 6).reshape(12, -1)
    np.testing.assert_array_equal(resized[1:], expected)
    assert jax.jit(model)(jnp.zeros((1, 32, 96, 3))).tokens.shape == (1, 12, 16)


def test_an_image_that_is_no_multiple_of_the_patch_is_refused(parts):
    with pytest.raises(ValueError, match="multiples of the patch size 16"):
        functional.bind(*parts)(jnp.zeros((1, 60, 64, 3)))


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="image_size 60 is not a multiple of patch_size 16"):
        VisionConfig(image_size=60)


def test_clip_has_a_norm_before_its_blocks_and_no_biases_around_them():
    paths = functional.paths(registry.shapes(SMALL["clip"])[1])
    assert "image_encoder/pre_norm/scale" in paths
    for dense in ("image_encoder/patch_embedding/projection", "image_projection"):
        assert f"{dense}/kernel" in paths
        assert f"{dense}/bias" not in paths


def test_an_encoders_config_makes_the_trip_through_json_and_is_no_model():
    for config in (CONFIG, SMALL["clip"], SMALL["bert"]):
        values = registry.to_dict(config)
        assert registry.encoder_from_dict(values) == config
        assert registry.any_from_dict(values) == config
        with pytest.raises(ValueError, match=r"is an encoder alone.*init\.image"):
            registry.from_dict(values)
    whole = registry.to_dict(registry.model_config("groupvit", "nano"))
    assert registry.any_from_dict(whole) == registry.from_dict(whole)
    with pytest.raises(ValueError, match=r"model\.name: unknown 'groupvit'"):
        registry.encoder_from_dict(whole)
