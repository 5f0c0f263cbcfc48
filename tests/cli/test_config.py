"""Experiments by name, and what can be changed about them."""

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from ovs_jax.cli import config
from ovs_jax.data.label_transforms import LabelRecipe
from ovs_jax.mapping import from_mapping
from ovs_jax.training.config import RunConfig

ALL = sorted(config.experiments())


def test_every_experiment_says_what_it_is() -> None:
    assert {
        "groupvit/gcc_yfcc",
        "groupvit/synthetic",
        "ovsegmentor/stage1",
        "ovsegmentor/stage2",
        "quickstart/stage1",
        "quickstart/stage2",
        "zegformer/ade20k_full",
        "zegformer/coco_stuff",
        "zegformer/pascal_voc",
        "zegformer/pixel_baseline",
        "zegformer/synthetic",
    } <= set(ALL)
    for name, summary in config.experiments().items():
        text = (config.folder() / f"{name}.py").read_text()
        assert summary.endswith(".")
        for word in ("Command:", "Variants:", "Hardware:", "Cost:", "Expected:", ":smoke"):
            assert word in text, f"{name} does not say '{word}'"
        assert f"--config={name}" in text


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("variant", ["", ":smoke"])
def test_every_experiment_is_locked_and_complete(name: str, variant: str) -> None:
    loaded = config.load(name + variant)
    assert loaded.is_locked
    run = from_mapping(RunConfig, loaded.to_dict())
    assert (run.steps > 0) != (run.epochs > 0)
    assert set(config.flatten(loaded)) == set(config.flatten(ConfigDict(asdict(run))))


@pytest.mark.parametrize("name", ["groupvit/gcc_yfcc", "ovsegmentor/stage1", "ovsegmentor/stage2"])
def test_a_changed_recipe_shows_in_review(name: str, golden: Path) -> None:
    """To renew: ovs-jax train --config=NAME --show > tests/golden/configs/NAME.txt."""
    shown = [f"{field} = {value!r}" for field, value in config.flatten(config.load(name)).items()]
    stored = (golden / "configs" / f"{name.replace('/', '_')}.txt").read_text().splitlines()
    assert shown == stored


def test_the_recipes_are_the_published_ones() -> None:
    groupvit, stage1, stage2 = (
        config.load(name)
        for name in ("groupvit/gcc_yfcc", "ovsegmentor/stage1", "ovsegmentor/stage2")
    )
    for recipe in (groupvit, stage1, stage2):
        adam = recipe.optimizer
        assert (adam.beta1, adam.beta2, adam.epsilon) == (0.9, 0.999, 1e-8)
        assert (adam.weight_decay, adam.clip_norm) == (0.05, 5.0)
        assert recipe.schedule.reference_batch == 4096
        assert recipe.model.encoder.image_size == 224
        assert recipe.model.encoder.drop_path == 0.1
        assert recipe.model.projector.hidden == 4096
        assert recipe.model.projector.outputs == 256
    numbers = [
        (r.batch_size, r.epochs, r.schedule.warmup_epochs, r.schedule.learning_rate,
         r.schedule.minimum, r.data.augmentation)
        for r in (groupvit, stage1, stage2)
    ]  # fmt: skip
    assert numbers == [
        (4096, 30.0, 2.0, 1.6e-3, 4e-5, "stage1"),
        (2048, 30.0, 2.0, 6.4e-4, 1.6e-4, "stage1"),
        (1024, 10.0, 0.0, 1e-5, 1e-6, "stage2"),
    ]
    assert (groupvit.schedule.warmup, stage1.schedule.warmup) == (4e-6, 1.6e-5)
    weights = [
        (r.objective.multi_label, r.objective.entity, r.objective.mask)
        for r in (groupvit, stage1, stage2)
    ]
    assert weights == [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.1)]
    assert groupvit.data.prompt_count == 3
    assert stage2.optimizer.frozen == ("text_encoder/.*", "momentum_encoder/.*")
    assert stage2.step.momentum == 0.99
    assert stage2.model.momentum
    assert not stage1.model.momentum
    assert stage1.model.encoder.to_dict() == stage2.model.encoder.to_dict()
    redcaps = config.load("groupvit/gcc_yfcc:redcaps")
    assert redcaps.objective.multi_label == 0.0
    assert (stage1.init.image, stage1.init.text) == ("dino:data/dino_vitbase16", "bert:data/bert")
    small = config.load("ovsegmentor/stage1:vit_small")
    assert (small.model.encoder.width, small.model.text.kind) == (384, "roberta")
    assert small.init.text.startswith("roberta:")


def test_the_recipes_of_zegformer_are_the_published_ones() -> None:
    coco, voc, ade = (
        config.load(f"zegformer/{name}") for name in ("coco_stuff", "pascal_voc", "ade20k_full")
    )
    for recipe in (coco, voc, ade):
        adam, rates = recipe.optimizer, recipe.schedule
        assert (adam.beta1, adam.beta2, adam.epsilon, adam.clip_norm) == (0.9, 0.999, 1e-8, 0.01)
        assert (rates.shape, rates.power, rates.learning_rate) == ("polynomial", 0.9, 1e-4)
        assert (recipe.batch_size, recipe.epochs) == (32, 0.0)
        weights = recipe.objective.weights
        assert (weights.classification, weights.mask, weights.dice) == (1.0, 20.0, 1.0)
        assert weights.no_object == 0.1
        assert not recipe.objective.valid_mask
        assert not recipe.objective.spare_ignored
        assert recipe.model.backbone.blocks == (3, 4, 23, 3)
        assert recipe.model.backbone.norm == "frozen"
        assert (recipe.model.transformer.queries, recipe.model.transformer.decoder_layers) == (
            100,
            6,
        )
        assert recipe.data.recipe.jitter
        assert recipe.data.recipe.flip == 0.5
    published = [
        (r.steps, r.data.recipe.size, r.data.recipe.longest, r.data.classes, r.data.prompts,
         r.data.ignore_label, r.step.dtype)
        for r in (coco, voc, ade)
    ]  # fmt: skip
    assert published == [
        (60_000, 640, 2560, "coco_stuff", "scene_subset", 255, "bfloat16"),
        (10_000, 512, 2048, "pascal_voc", "scene", 255, "float32"),
        (60_000, 512, 2048, "ade20k_full", "scene_subset", 65535, "float32"),
    ]
    assert LabelRecipe(size=coco.data.recipe.size).choices == tuple(range(320, 961, 64))
    assert voc.data.recipe.short_sides == ade.data.recipe.short_sides
    small = config.load("zegformer/pascal_voc:resnet50")
    assert small.model.backbone.blocks == (3, 4, 6, 3)
    assert small.init.checkpoint == "data/resnet50"
    pixels = config.load("zegformer/pixel_baseline").to_dict()
    same = config.load("zegformer/coco_stuff:resnet50").to_dict()
    decays = [rule for rule in same["optimizer"]["decays"] if rule[0] != "query_embedding"]
    assert pixels["objective"] == {"kind": "pixels"}
    assert pixels["model"]["name"] == "zegformer_baseline"
    for recipe in (pixels, same):
        del recipe["objective"], recipe["model"]
    same["optimizer"]["decays"] = tuple(decays)
    assert pixels == same


def test_fields_are_set_by_name_in_their_own_type() -> None:
    loaded = config.load(
        "ovsegmentor/stage1",
        [
            "--config.seed=7",
            "--config.optimizer.clip_norm=1",
            "--config.step.scan=true",
            "--config.model.encoder.depths=[2, 2]",
            "--config.optimizer.rates=[('text_encoder/.*', 0.1)]",
            "--config.data.source=a=b.tsv",
            "--config.step.dtype=bfloat16",
        ],
    )
    assert loaded.seed == 7
    assert loaded.optimizer.clip_norm == 1.0
    assert loaded.step.scan is True
    assert loaded.model.encoder.depths == (2, 2)
    assert loaded.optimizer.rates == (("text_encoder/.*", 0.1),)
    assert loaded.data.source == "a=b.tsv"
    from_mapping(RunConfig, loaded.to_dict())


@settings(deadline=None, max_examples=50)
@given(value=st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.text()))
def test_what_is_written_as_text_is_read_back(value: int | float | bool | str) -> None:
    loaded = ConfigDict({"a": {"field": value}}).lock()
    other = ConfigDict({"a": {"field": type(value)()}}).lock()
    config.apply(other, f"--config.a.field={value}")
    assert other == loaded


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.clip_nrom=1", r"no such field; did you mean --config.optimizer.clip_norm\?"),
        ("learning_rate=1", r"did you mean --config.schedule.learning_rate\?"),
        ("seed.x=1", r"--config.seed.x: no such field"),
        ("optimizer=1", r"is a group of fields; set one of beta1, beta2"),
        ("seed", r"expected --config.field=value"),
        ("seed=1.5", r"--config.seed: got '1.5', expected a int such as 0"),
        ("model.momentum=1", r"got '1', expected a bool such as False"),
        ("model.encoder.depths=3", r"got '3', expected a tuple"),
        ("model.encoder.depths=(3", r"got '\(3', expected a tuple"),
    ],
)
def test_an_override_that_does_not_fit_is_one_clear_error(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.load("ovsegmentor/stage1", [f"--config.{override}"])


def test_an_unknown_name_or_variant_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(
        ValueError, match=r"no experiment 'ovsegmentr/stage1'.*'ovsegmentor/stage1'"
    ):
        config.load("ovsegmentr/stage1")
    with pytest.raises(ValueError, match=r"unknown variant 'smok', expected one of \('smoke'"):
        config.load("ovsegmentor/stage1:smok")
    with pytest.raises(FileNotFoundError, match=r"there is no file missing\.py"):
        config.load("missing.py")


def test_an_experiment_may_be_a_file_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from ovs_jax.configs import base\n\n\n"
        "def get_config(variant=None):\n"
        "    config = base.defaults('groupvit', 'nano')\n"
        "    config.steps = 3\n"
        "    return base.finish(config, variant)\n"
    )
    assert config.load(str(file)).steps == 3
    assert config.load(f"{file}:smoke", ["--config.steps=4"]).steps == 4
    file.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"expected a function get_config"):
        config.load(str(file))
