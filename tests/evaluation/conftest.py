"""A nano model with random weights, shared by all tests of evaluation."""

import jax
import pytest

from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import load_tokenizer

SIZE = 32


@pytest.fixture(scope="session")
def nano():
    """What a segmenter is made of: static part, parameters, statistics, tokenizer, text length."""
    tokenizer = load_tokenizer("synthetic")
    overrides = {"text": {"vocabulary": tokenizer.vocab_size}}
    config = registry.model_config("ovsegmentor", "nano", overrides=overrides)
    static, params, stats = functional.init(registry.build(config), jax.random.key(0))
    options = {"tokenizer": tokenizer, "text_length": config.text.length, "image_size": SIZE}
    return (static, params, stats), options


@pytest.fixture(scope="session")
def segmenter(nano):
    """Looks at images with a short side of 48 pixels through windows of 32."""
    parts, options = nano
    geometry = Geometry(window=SIZE, stride=16, short_side=48, long_side=160)
    return GroupSegmenter(*parts, **options, geometry=geometry)
