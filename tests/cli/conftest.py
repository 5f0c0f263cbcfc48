"""Runs subcommands with a nano model in place of a checkpoint."""

import argparse

import jax
import pytest

import ovs_jax
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import load_tokenizer


@pytest.fixture(scope="session")
def nano_segmenter():
    tokenizer = load_tokenizer("synthetic")
    overrides = {"text": {"vocabulary": tokenizer.vocab_size}}
    config = registry.model_config("ovsegmentor", "nano", overrides=overrides)
    parts = functional.init(registry.build(config), jax.random.key(0))
    geometry = Geometry(window=32, stride=16, short_side=48, long_side=160)
    options = {"text_length": config.text.length, "geometry": geometry, "image_size": 32}
    return GroupSegmenter(*parts, tokenizer=tokenizer, **options)


@pytest.fixture
def command(nano_segmenter, monkeypatch):
    """Parses and runs ``command(module, "word", ...)``; the checkpoint is always ``trained``."""

    def load(path, **options):
        if str(path) != "trained":
            raise FileNotFoundError(f"checkpoint: {path} does not exist")
        return nano_segmenter

    monkeypatch.setitem(vars(ovs_jax), "load", load)

    def run(module, *words):
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        return module.run(parser.parse_args([str(word) for word in words]))

    return run
