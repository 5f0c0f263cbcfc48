from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.models.text import TextConfig, text_encoder
from ovs_jax.models.text import bert as bert_module
from ovs_jax.nn import functional

CONFIG = TextConfig(
    kind="bert", vocabulary=20, length=8, width=16, depth=1, heads=2, hidden=32, dropout=0.1
)
ROBERTA = replace(CONFIG, kind="roberta")
MASK = np.asarray([[1] * 5 + [0] * 3, [1] * 7 + [0]], bool)
PADDING = {"bert": 0, "roberta": 1}


class Encoder:
    """One kind of encoder with all that the tests run, compiled once each."""

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self.static, params, _ = functional.init(
            lambda rngs: text_encoder(config, rngs=rngs), jax.random.key(0)
        )
        self.params = jax.tree.map(lambda x: x * 20 if x.ndim > 1 else x, params)
        ids = np.random.default_rng(0).integers(2, 20, (2, 8))
        self.ids = np.where(MASK, ids, PADDING[config.kind]).astype(np.int32)
        self.both = jax.jit(jax.grad(self.loss, has_aux=True))

    def encode(self, params, ids, mask, key=None):
        return functional.bind(self.static, params, {})({"ids": ids, "mask": mask}, key=key)

    def loss(self, params, ids, mask):
        features = self.encode(params, ids, mask)
        tokens = features.tokens
        weight = jnp.cos(jnp.arange(tokens.size).reshape(tokens.shape))
        return jnp.sum(tokens * weight), features

    def run(self, ids, mask=MASK):
        """Features; compiled together with the gradient, since compiling is what takes time."""
        return self.both(self.params, ids, mask)[1]

    def gradient(self):
        return self.both(self.params, self.ids, MASK)[0]


@pytest.fixture(scope="module", params=[CONFIG, ROBERTA], ids=lambda config: config.kind)
def encoder(request):
    return Encoder(request.param)


def test_masked_padding_never_changes_kept_tokens(encoder):
    expected = np.asarray(encoder.run(encoder.ids).tokens)
    noise = np.where(MASK, encoder.ids, 7).astype(np.int32)
    tokens = np.asarray(encoder.run(noise).tokens)
    np.testing.assert_array_equal(tokens[MASK], expected[MASK])
    assert np.abs(tokens[~MASK] - expected[~MASK]).max() > 1e-2


def test_every_kept_token_sees_the_others_before_and_after_it(encoder):
    expected = encoder.run(encoder.ids).tokens
    changed = encoder.ids.copy()
    changed[:, 2] = 2 + (changed[:, 2] - 1) % 18
    tokens = encoder.run(changed).tokens
    assert (np.abs(tokens - expected).max(-1)[:, [0, 1, 3, 4]] > 1e-4).all()


def test_the_pooled_feature_is_that_of_the_first_token(encoder):
    features = encoder.run(encoder.ids)
    np.testing.assert_array_equal(features.pooled, features.tokens[:, 0])


def test_the_embedding_of_padding_gets_no_gradient_and_others_do(encoder):
    gradient = np.asarray(encoder.gradient()["token_embedding"])
    assert (gradient[PADDING[encoder.config.kind]] == 0).all()
    used = np.unique(encoder.ids[MASK])
    assert (np.abs(gradient[used]).max(1) > 1e-4).all()


@pytest.fixture(scope="module")
def bert():
    return Encoder(CONFIG)


def test_dropout_acts_only_with_a_key(bert):
    noisy = jax.jit(bert.encode)
    first, again, other = (
        noisy(bert.params, bert.ids, MASK, jax.random.key(seed)).tokens for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert np.abs(first - bert.run(bert.ids).tokens).max() > 0.1


def test_bert_counts_positions_from_zero_and_roberta_kept_tokens_from_two():
    mask = jnp.asarray([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0]], bool)
    for config, expected in (
        (CONFIG, [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]),
        (ROBERTA, [[2, 3, 4, 1, 1], [1, 2, 3, 4, 1]]),
    ):
        static, params, _ = functional.abstract(lambda rngs, c=config: text_encoder(c, rngs=rngs))
        empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), params)
        np.testing.assert_array_equal(functional.bind(static, empty, {}).positions(mask), expected)


def test_roberta_has_one_token_type_and_two_positions_more():
    shapes = {
        config.kind: functional.abstract(lambda rngs, c=config: text_encoder(c, rngs=rngs))[1]
        for config in (CONFIG, ROBERTA)
    }
    assert shapes["bert"]["type_embedding"].shape == (2, 16)
    assert shapes["roberta"]["type_embedding"].shape == (1, 16)
    assert shapes["bert"]["position_embedding"].shape == (8, 16)
    assert shapes["roberta"]["position_embedding"].shape == (10, 16)


def test_a_text_that_is_too_long_is_refused(encoder):
    with pytest.raises(ValueError, match="text: got 9 tokens, expected at most 8"):
        encoder.run(np.zeros((1, 9), np.int32), np.ones((1, 9), bool))


def test_padding_no_further_than_the_longest_text_changes_nothing(encoder):
    long = encoder.run(encoder.ids)
    short = jax.jit(encoder.encode)(encoder.params, encoder.ids[:, :7], MASK[:, :7])
    np.testing.assert_allclose(short.pooled, long.pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(short.tokens[MASK[:, :7]], long.tokens[MASK], rtol=1e-5, atol=1e-6)


def test_dropout_takes_shares_of_attention_too(monkeypatch):
    seen = []
    plain = bert_module.dropout

    def nothing(x, rate, *, key):
        seen.append(rate)
        return plain(x, 0.0, key=key)

    # What is left of the dropout then is that within attention.
    monkeypatch.setattr(bert_module, "dropout", nothing)
    encoder = Encoder(replace(CONFIG, dropout=0.5))
    encode = jax.jit(encoder.encode)
    without, first, second = (
        encode(encoder.params, encoder.ids, MASK, key).tokens
        for key in (None, jax.random.key(0), jax.random.key(1))
    )
    assert set(seen) == {0.5}
    for one, other in ((without, first), (first, second)):
        assert np.abs(one - other)[MASK].max() > 1e-2
