"""Nested dicts to frozen configs, checked on the way."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from ovs_jax.mapping import from_mapping
from ovs_jax.training.config import RunConfig
from ovs_jax.training.labelled_config import LabelledDataConfig

MINIMAL = {"model": {"name": "groupvit"}, "steps": 1}


def test_a_config_survives_json() -> None:
    config = from_mapping(
        RunConfig,
        MINIMAL
        | {"optimizer": {"frozen": ["a", "b"], "rates": [["c", 1]]}, "data": {"workers": 3}},
    )
    assert config.optimizer.rates == (("c", 1.0),)
    assert from_mapping(RunConfig, json.loads(json.dumps(asdict(config)))) == config


def test_data_with_label_maps_survive_json() -> None:
    labelled = {"kind": "labelled", "recipe": {"short_sides": [64, 96]}, "text": "clip"}
    values = MINIMAL | {"data": labelled, "objective": {"kind": "masks", "valid_mask": True}}
    config = from_mapping(RunConfig, values)
    assert isinstance(config.data, LabelledDataConfig)
    assert config.data.recipe.short_sides == (64, 96)
    assert from_mapping(RunConfig, json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"optimizer": {"weight_dekay": 1.0}},
            r"\.weight_dekay: no such field, .*'weight_decay'\?",
        ),
        (
            {"data": {"world": {"sise": 1}}},
            r"data\.world\.sise: no such field, .* mean 'size'",
        ),
        ({"seed": 1.5}, r"seed: got 1.5, expected int"),
        ({"seed": True}, r"seed: got True, expected int"),
        ({"optimizer": 3}, r"optimizer: got 3, expected a group of fields: beta1"),
        ({"step": {"dtype": "float16"}}, r"step.dtype: got 'float16', expected one of"),
        ({"optimizer": {"rates": [["c"]]}}, r"optimizer.rates\[0\]: got \['c'\]"),
        ({"step": {"accumulate": 0}}, r"step.accumulate: expected at least 1, got 0"),
        ({"step": {"momentum": 1.5}}, r"step.momentum: expected 0 to 1, got 1.5"),
        ({"schedule": {"learning_rate": float("nan")}}, r"schedule.learning_rate: .* got nan"),
        ({"optimizer": {"clip_norm": -1.0}}, r"optimizer.clip_norm: expected at least 0"),
        ({"evaluation": {"batch_size": 0}}, r"evaluation.batch_size: expected at least 1, got 0"),
        ({"data": {"source": ""}}, r"expected one of data.source and data.sets, .* 0 sets"),
        ({"data": {"sets": [{"source": "a"}]}}, r"data.source='synthetic' and 1 sets"),
        ({"data": {"sets": [{"weight": 1}]}}, r"data.sets\[0\]: expected a value for source"),
        ({"steps": 0}, r"expected one of steps and epochs above 0"),
        ({"epochs": 1.0}, r"expected one of steps and epochs above 0, got steps=1"),
        ({"schedule": {"warmup_epochs": 1, "warmup_steps": 1}}, r"one of warmup_epochs and"),
        (
            {"schedule": {"shape": "polynomial", "warmup_steps": 1}},
            r"schedule.shape: 'polynomial' has no warm-up",
        ),
        (
            {"objective": {"kind": "masks"}},
            r"data.kind: objective.kind 'masks' learns from 'labelled' data, got 'captions'",
        ),
        (
            {"data": {"kind": "labelled"}},
            r"data.kind: objective.kind 'captions' learns from 'captions' data, got 'labelled'",
        ),
        ({"objective": {"kind": "words"}}, r"objective.kind: unknown 'words', expected one of"),
        ({"objective": {"multi_label": -1.0}}, r"objective.multi_label: expected at least 0"),
        (
            {"objective": {"kind": "masks", "weights": {"dice": -1}}},
            r"objective.weights.dice: expected at least 0, got -1",
        ),
        (
            {"data": {"kind": "labelled", "source": "a", "dataset": "voc20"}},
            r"data.classes: 'synthetic' are the classes of data.source 'synthetic'",
        ),
        ({"data": {"kind": "labelled", "source": ""}}, r"data.source: expected 'synthetic' or a"),
        ({"data": {"kind": "labelled", "dataset": "voc20"}}, r"data.dataset: got 'voc20', .* none"),
        ({"data": {"kind": "labelled", "recipe": {"flip": 2}}}, r"recipe.flip: .* got 2"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_mapping(RunConfig, MINIMAL | values)
