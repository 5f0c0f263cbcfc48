import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.models.text import TextConfig, text_encoder
from ovs_jax.models.text.clip import ClipText, end_of_text_mask
from ovs_jax.nn import functional

CONFIG = TextConfig(vocabulary=20, length=8, width=16, depth=1, heads=2, hidden=32)
IDS = np.asarray([[18, 3, 4, 19, 0, 0, 0, 0], [18, 5, 6, 7, 8, 19, 0, 0]], np.int32)
MASK = np.asarray([[1] * 4 + [0] * 4, [1] * 6 + [0] * 2], bool)


@pytest.fixture(scope="module")
def encoder():
    static, params, _ = functional.init(
        lambda rngs: text_encoder(CONFIG, rngs=rngs), jax.random.key(0)
    )
    # Initial embeddings are so small that nothing would show beside rounding.
    params = jax.tree.map(lambda x: x * 20 if x.ndim > 1 else x, params)
    return jax.jit(
        lambda ids, mask: functional.bind(static, params, {})({"ids": ids, "mask": mask})
    )


def test_a_later_token_never_changes_an_earlier_one(encoder):
    before = encoder(IDS, MASK).tokens
    for position in range(1, 8):
        changed = IDS.copy()
        changed[:, position] = 11
        after = encoder(changed, MASK).tokens
        np.testing.assert_array_equal(after[:, :position], before[:, :position])
        assert np.abs(after[:, position] - before[:, position]).max() > 1e-2


def test_the_pooled_feature_is_that_of_the_last_kept_token(encoder):
    features = encoder(IDS, MASK)
    np.testing.assert_array_equal(features.pooled[0], features.tokens[0, 3])
    np.testing.assert_array_equal(features.pooled[1], features.tokens[1, 5])


def test_padding_never_matters(encoder):
    noise = np.where(MASK, IDS, np.random.default_rng(0).integers(1, 20, IDS.shape)).astype("int32")
    np.testing.assert_array_equal(encoder(noise, MASK).pooled, encoder(IDS, MASK).pooled)
    short = encoder(IDS[:, :6], MASK[:, :6])
    np.testing.assert_allclose(short.pooled, encoder(IDS, MASK).pooled, atol=1e-5)


def test_the_end_of_text_is_the_largest_id():
    np.testing.assert_array_equal(end_of_text_mask(jnp.asarray(IDS)), MASK)
    prompts = jnp.asarray(IDS)[:, None].repeat(3, axis=1)
    np.testing.assert_array_equal(end_of_text_mask(prompts)[:, 2], MASK)


def test_a_text_without_kept_tokens_is_pooled_at_its_start(encoder):
    features = encoder(IDS, np.zeros_like(MASK))
    np.testing.assert_array_equal(features.pooled, features.tokens[:, 0])


def test_a_text_that_is_too_long_is_refused():
    static, params, _ = functional.abstract(lambda rngs: ClipText(CONFIG, rngs=rngs))
    text = {"ids": jnp.zeros((1, 9), jnp.int32), "mask": jnp.ones((1, 9), bool)}
    with pytest.raises(ValueError, match="text: got 9 tokens, expected at most 8"):
        jax.eval_shape(lambda p: functional.bind(static, p, {})(text), params)
