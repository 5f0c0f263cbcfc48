import argparse
import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from ovs_jax.cli import evaluate
from ovs_jax.cli.evaluation_tasks import TASKS


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "voc"
    lists = root / "ImageSets" / "Segmentation"
    for folder in (root / "JPEGImages", root / "SegmentationClass", lists):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        image = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
        image.save(root / "JPEGImages" / f"{name}.jpg")
        label = Image.fromarray(rng.choice([0, 5, 20, 255], size=(30, 40)).astype(np.uint8))
        label.convert("P").save(root / "SegmentationClass" / f"{name}.png")
    (lists / "val.txt").write_text("one\ntwo\n")
    return root


def test_a_report_is_printed_and_written_in_three_forms_with_scenes(
    command, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "report"
    words = ["--preset", "synthetic", "--size", 32, "--limit", 3, "--scenes", 2, "--out", out]
    assert command(evaluate, "--checkpoint", "trained", *words) == 0
    printed = capsys.readouterr().out
    assert "**mIoU" in printed
    assert "| protocol | synthetic/synthetic |" in printed
    assert sorted(os.listdir(out)) == ["report.csv", "report.json", "report.md", "scenes.png"]
    stored = json.loads((out / "report.json").read_text())
    assert stored["images"] == 3
    rows = list(csv.DictReader((out / "report.csv").read_text().splitlines()))
    assert len(rows) == len(stored["per_class"])
    assert (out / "report.md").read_text() in printed


def test_objects_of_the_synthetic_world_are_told_from_a_background(command, capsys):
    words = ["--preset", "synthetic", "--dataset", "objects", "--size", 32, "--limit", 2]
    assert command(evaluate, "--checkpoint", "trained", *words, "--background", 0.5) == 0
    assert "below min(0.5" in capsys.readouterr().out


def opened(*words):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    arguments = parser.parse_args([str(word) for word in ("--checkpoint", "x", *words)])
    task = TASKS[arguments.task](arguments)
    return task.source, task.protocol


@pytest.mark.parametrize("dataset", [[], ["--dataset", "pascal_voc"], ["--dataset", "voc21"]])
def test_a_benchmark_is_opened_by_its_name_or_class_list(voc, dataset):
    source, rules = opened("--data", voc, *dataset)
    assert len(source) == 2
    assert (rules.name, rules.classes.name, rules.background) == ("ovsegmentor", "voc21", 0.95)
    assert set(np.unique(source[0]["label"])) == {0, 5, 20, 255}


def test_the_same_labels_are_read_with_another_class_list(voc):
    source, rules = opened("--data", voc, "--dataset", "voc20", "--preset", "tcl")
    assert (rules.classes.name, rules.background, len(rules.templates)) == ("voc20", None, 80)
    assert set(np.unique(source[0]["label"])) == {4, 19, 255}


def test_two_folders_have_indices_of_the_class_list(voc):
    folders = ["--images", voc / "JPEGImages", "--labels", voc / "SegmentationClass"]
    source, rules = opened("--dataset", "ade150", *folders)
    assert len(source) == 2
    assert (rules.classes.name, rules.zero_label) == ("ade150", "drop")
    assert isinstance(source[0]["label"], bytes)


def test_refinement_changes_the_protocol(voc):
    _, rules = opened("--data", voc, "--preset", "tcl", "--refine", "pamr")
    assert (rules.background, rules.background_rule) == (0.4, "fixed")
    assert "PAMR" in rules.choices()["refinement"]


def test_a_sweep_is_printed_below_the_scores(command, capsys):
    words = ["--preset", "synthetic", "--dataset", "objects", "--size", 32, "--limit", 2]
    sweep = ["--background", 0.5, "--sweep-background", "0.2:0.4:0.1"]
    assert command(evaluate, "--checkpoint", "trained", *words, *sweep) == 0
    shown = capsys.readouterr().out
    assert "### Other background thresholds" in shown
    for threshold in (0.2, 0.3, 0.4, 0.5):
        assert f"| {threshold} | " in shown


def test_images_are_classified(command, tmp_path, capsys):
    from ovs_jax.text.class_sets import imagenet_synsets

    rng = np.random.default_rng(0)
    for synset in imagenet_synsets()[:2]:
        folder = tmp_path / "val" / synset
        folder.mkdir(parents=True)
        image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
        image.save(folder / f"ILSVRC2012_val_{synset}.JPEG")
    out = tmp_path / "out"
    words = ["--task", "classification", "--data", tmp_path, "--prompts", "identity", "--out", out]
    assert command(evaluate, "--checkpoint", "trained", *words, "--batch-size", 2) == 0
    shown = capsys.readouterr().out
    assert "classification / imagenet / prompts identity" in shown
    assert "centre 32" in shown
    stored = json.loads((out / "report.json").read_text())
    assert stored["images"] == 2
    assert len(stored["per_class"]) == 1000
    assert sorted(os.listdir(out)) == ["report.csv", "report.json", "report.md"]


def test_captions_are_retrieved_from_files_and_from_the_synthetic_world(command, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("a dog\na boat\n")
    words = ["--checkpoint", "trained", "--task", "retrieval", "--batch-size", 2]
    assert command(evaluate, *words, "--data", tmp_path) == 0
    assert "· 2 images · 4 captions ·" in capsys.readouterr().out
    world = ["--preset", "synthetic", "--size", 32, "--limit", 3]
    assert command(evaluate, *words, *world) == 0
    assert "## retrieval / synthetic" in capsys.readouterr().out


CLASSIFY = ["--task", "classification"]
RETRIEVE = ["--task", "retrieval"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "groupvitt"], "did you mean 'groupvit'"),
        (["--dataset", "voc"], "did you mean 'voc21'"),
        ([], "expected either --data"),
        (["--data", "a", "--images", "b"], "expected either --data"),
        (["--images", "b"], "expected either --data"),
        (["--background", "0.5", "--data", "a"], "belongs to the synthetic preset"),
        (["--preset", "synthetic", "--dataset", "voc21"], "expected 'all', 'objects' or"),
        (["--preset", "synthetic", "--dataset", "objects"], "expected a threshold"),
        (["--limit", "0", "--data", "a"], "--limit: expected at least 1, got 0"),
        (["--batch-size", "0", "--data", "a"], "--batch-size: expected at least 1, got 0"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--data", "a", "--dataset", "voc20"], "unknown 'voc20', expected one of"),
        (["--data", "a", "--dataset", "imagenet"], "unknown 'imagenet', expected one of"),
        (["--data", "a", "--prompts", "full"], "--prompts: belongs to classification"),
        (["--images", "a", "--labels", "b", "--split", "val"], "--split: belongs to --data"),
        (["--data", "a", "--sweep-background", "high"], "expected FIRST:LAST:STEP"),
        (["--preset", "synthetic", "--sweep-background"], "'synthetic' has no background"),
        ([*CLASSIFY, "--preset", "tcl"], "--preset: belongs to segmentation"),
        ([*CLASSIFY, "--refine", "pamr"], "--refine: belongs to segmentation"),
        ([*CLASSIFY, "--dataset", "voc21"], "expected imagenet for classification, got 'voc21'"),
        (CLASSIFY, "--data: expected the folder of imagenet"),
        ([*CLASSIFY, "--data", "nowhere"], "nowhere"),
        (RETRIEVE, "expected either --data with images and captions, or --preset synthetic"),
        ([*RETRIEVE, "--data", "a", "--preset", "synthetic"], "expected either --data"),
        ([*RETRIEVE, "--preset", "tcl"], "expected synthetic or nothing for retrieval, got 'tcl'"),
        ([*RETRIEVE, "--data", "a", "--split", "val"], "--split: belongs to other tasks"),
        ([*RETRIEVE, "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_bad_options_give_one_message(command, words, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        command(evaluate, "--checkpoint", "nowhere", *words)
