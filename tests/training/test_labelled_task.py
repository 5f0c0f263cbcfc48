"""Runs on label maps: what fits together, and what a run is judged by. Nothing is compiled here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ovs_jax.cli import config as experiments
from ovs_jax.data.synthetic.attributes import UNSEEN
from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.zero_shot_report import ZeroShotReport
from ovs_jax.mapping import from_mapping
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.training import experiment, scores
from ovs_jax.training.config import RunConfig
from ovs_jax.training.labelled_task import LabelledTask
from ovs_jax.training.start import transfer


def resolve(name: str, *overrides: str) -> RunConfig:
    loaded = experiments.load(name, [f"--config.{override}" for override in overrides])
    return from_mapping(RunConfig, loaded.to_dict())


def smoke(*overrides: str) -> RunConfig:
    return resolve("zegformer/pascal_voc:smoke", *overrides)


def folder(path: Path, *, labels: list[int], size: tuple[int, int] = (40, 40)) -> Path:
    """Twenty images with the same labels, in stripes."""
    for part in ("images", "labels"):
        (path / part).mkdir(parents=True)
    stripes = np.repeat(np.asarray(labels, np.uint8), 40 // len(labels))[:, None]
    for index in range(20):
        Image.new("RGB", (40, 40), (9 * index,) * 3).save(path / f"images/{index:02d}.png")
        Image.fromarray(np.tile(stripes, (1, size[1]))[: size[0]]).save(
            path / f"labels/{index:02d}.png"
        )
    return path


def own(path: Path, content: dict[str, Any]) -> list[str]:
    """Overrides for a folder of own data with an own class file."""
    (path / "classes.json").write_text(json.dumps(content))
    return [f"data.source={path}", f"data.classes={path / 'classes.json'}"]


PETS = {"classes": ["dog", "cat", "cow"], "unseen": ["cow"]}


def test_the_objective_knows_the_seen_classes_alone() -> None:
    task = LabelledTask(smoke())
    names, seen = task.split.classes.names, task.split.seen
    assert {names[index] for index in range(len(names)) if index not in seen} <= set(UNSEEN)
    unit = task.objective.keywords["class_unit"]  # pyright: ignore[reportAttributeAccessIssue]
    seen_unit = task.text.embed_classes(task.split.seen_names, templates=["{}"])
    np.testing.assert_array_equal(unit, seen_unit)
    assert (task.tokenizer, task.heads) == ({}, ())


def test_masks_of_unseen_classes_never_reach_a_batch() -> None:
    config = resolve("zegformer/synthetic:smoke", "data.world_length=64")
    task = LabelledTask(config)
    batches, world = task.open_batches(), experiment.open_task(config)
    assert isinstance(world, LabelledTask)
    seen = 0
    for _ in range(4):
        batch = next(batches)
        assert set(batch) == {"image", "label", "classes"}
        assert batch["image"].shape == (16, 64, 64, 3)
        assert batch["label"].max() < len(task.split.seen)
        seen += (batch["label"] < 0).any((1, 2)).sum()
    batches.close()
    # One epoch of 64 scenes: images with unseen classes are kept, and those pixels ignored.
    assert seen > 10


def test_an_image_without_any_seen_class_has_no_mask(tmp_path: Path) -> None:
    source = folder(tmp_path, labels=[2])
    task = LabelledTask(smoke(*own(source, PETS), "evaluation.source=none"))
    batches = task.open_batches()
    batch = next(batches)
    batches.close()
    assert (batch["classes"] == -1).all()
    assert (batch["label"] == -1).all()


@pytest.mark.parametrize(
    ("labels", "size", "message"),
    [
        ([0, 5], (40, 40), r"cannot be used; the last was .*: labels of no class"),
        ([0, 1], (30, 40), r"label map and image differ in size"),
        ([0, 1], (40, 60), r"label map and image differ in size"),
    ],
)
def test_labels_that_do_not_fit_stop_the_run(
    tmp_path: Path, labels: list[int], size: tuple[int, int], message: str
) -> None:
    source = folder(tmp_path, labels=labels, size=size)
    task = LabelledTask(smoke(*own(source, PETS), "evaluation.source=none", "data.threads=0"))
    batches = task.open_batches()
    with pytest.raises(ValueError, match=message):
        next(batches)
    batches.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PETS | {"seen": ["dog", "cat", "cow"]}, r"\['cow'\] are in the seen and in the unseen"),
        (PETS | {"seen": ["dog"]}, r"1 of 3 classes are in neither list, such as \['cat'\]"),
        (PETS | {"unseen": ["cow "]}, r"'cow ' is not in the class list; did you mean 'cow'\?"),
        (PETS | {"classes": ["dog", "cat ", "cow"]}, r"\['cat '\] have stray blanks"),
        (PETS | {"classes": ["dog, puppy", "cat", "cow"], "unseen": ["puppy"]}, r"mean 'dog, pup"),
        ({"classes": ["dog", "sofa"], "unseen": []}, r"class 'sofa': without a text encoder"),
    ],
)
def test_class_files_that_do_not_fit_are_named(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LabelledTask(smoke(*own(tmp_path, content)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.embedding=7", r"model.embedding: expected \d+, .* 'attributes', got 7"),
        ("data.recipe.size=50", r"data.recipe.size: expected a multiple of 32 pixels, got 50"),
        ("data.text=/nowhere", r"data.text: /nowhere holds no usable checkpoint"),
        ("data.prompts=scenes", r"prompt templates 'scenes' are unknown"),
        ("data.classes=coco", r"class split 'coco' is unknown"),
        ("data.classes=/nowhere.json", r"class split /nowhere.json does not exist"),
    ],
)
def test_what_does_not_fit_is_named(override: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        LabelledTask(smoke(override))


def test_the_published_recipes_start_from_a_resnet_alone() -> None:
    config = resolve("zegformer/pascal_voc:resnet50")
    _, params, stats = registry.shapes(registry.from_dict(config.model))
    wanted = {"params": params, "stats": stats}
    empty = {
        path.replace("/backbone/", "/"): np.zeros(leaf.shape, leaf.dtype)
        for path, leaf in functional.paths(wanted).items()
        if path.split("/")[1] == "backbone"
    }
    taken = transfer(wanted, functional.nest(empty), config.init, source="resnet")
    filled = functional.paths(taken.weights)
    assert {path.replace("/backbone/", "/") for path in filled} == empty.keys()
    assert not any(path.startswith("backbone/") for path in taken.fresh)
    assert "class_head/logit_scale" in taken.fresh
    empty.pop("params/stem/conv/kernel")
    with pytest.raises(ValueError, match=r"resnet cannot fill backbone/stem/conv/kernel"):
        transfer(wanted, functional.nest(empty), config.init, source="resnet")


def test_models_of_captions_and_of_masks_are_told_apart() -> None:
    captions = resolve("quickstart/stage1:smoke")
    masks = from_mapping(
        RunConfig,
        {
            "model": captions.model,
            "steps": 1,
            "objective": {"kind": "masks"},
            "data": {"kind": "labelled"},
        },
    )
    with pytest.raises(ValueError, match=r"'ovsegmentor' does not learn from masks, expected zeg"):
        experiment.open_task(masks)
    mistaken = from_mapping(RunConfig, {"model": smoke().model, "steps": 1})
    with pytest.raises(ValueError, match=r"'zegformer' does not learn from captions, expected"):
        experiment.open_task(mistaken)


def test_a_benchmark_is_judged_by_the_segment_branch_of_its_protocol(shared_data: Path) -> None:
    config = smoke(
        "evaluation.source=benchmark",
        f"evaluation.folder={shared_data / 'voc_layout'}",
        "evaluation.protocol=zegformer/pascal_voc",
    )
    found = LabelledTask(config).judged()
    assert found is not None
    source, rules = found
    assert (rules.fusion.kind, rules.gamma, rules.split.name) == ("segment", 0.0, "voc20")
    assert rules.split.evaluated(source[0]["label"], ignore_label=rules.ignore_label).max() < 20


def test_a_state_is_scored_by_the_harmonic_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve("zegformer/synthetic:smoke", "evaluation.limit=3")
    task = LabelledTask(config)
    plan = experiment.make_plan(
        config, experiment.make_mesh(config), steps=config.steps, steps_per_epoch=1
    )
    given: dict[str, Any] = {}
    perfect = np.diag(np.arange(1, len(task.split.classes) + 1))
    perfect[0, 0], perfect[-1, -1] = 0, 0  # a class without pixels: no published score
    counts = np.concatenate([perfect, np.zeros_like(perfect[:1])])

    def judge(segmenter: Any, source: Any, rules: Any, **rest: Any) -> ZeroShotReport:
        given.update(rest, scenes=len(source), bank=segmenter.bank(rules), size=rules.short_side)
        return ZeroShotReport(rules, {0.0: Confusion(counts)}, images=3, seconds=1.0)

    monkeypatch.setattr(scores, "evaluate", judge)
    score = task.scorer(plan)
    assert score is not None
    weights = {name: {"x": np.zeros(2, np.float32)} for name in ("params", "stats")}
    found = score(weights)
    assert found.score == 100.0
    present = [f"{group}_iou_of_present" for group in ("harmonic", "seen", "unseen")]
    assert found.values == dict.fromkeys(
        [*present, "unseen_iou", "mean_iou", "pixel_accuracy"], 100.0
    )
    assert (given["scenes"], given["limit"], given["size"]) == (3, 3, 64)
    np.testing.assert_array_equal(given["bank"].unit, task.unit)
    assert np.flatnonzero(given["bank"].unseen).tolist() == list(task.split.unseen)


def test_what_is_missing_for_an_evaluation_is_named(tmp_path: Path) -> None:
    task = LabelledTask(smoke("evaluation.source=benchmark"))
    with pytest.raises(ValueError, match=r"evaluation.folder: expected the folder of a benchmark"):
        task.judged()
    other = LabelledTask(smoke(*own(tmp_path, PETS)))
    with pytest.raises(ValueError, match=r"evaluation.source: 'synthetic' has other classes than"):
        other.judged()
    assert LabelledTask(smoke("evaluation.source=none")).judged() is None
