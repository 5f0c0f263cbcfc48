import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from ovs_jax.cli import evaluate


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


def test_the_voc_layout_is_opened_with_the_published_protocol(voc):
    import argparse

    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    source, rules = evaluate.open_data(parser.parse_args(["--checkpoint", "x", "--data", str(voc)]))
    assert len(source) == 2
    assert (rules.name, rules.classes.name, rules.background) == ("ovsegmentor", "voc21", 0.95)
    two_folders = ["--images", str(voc / "JPEGImages"), "--labels", str(voc / "SegmentationClass")]
    source, rules = evaluate.open_data(
        parser.parse_args(["--checkpoint", "x", "--dataset", "ade150", *two_folders])
    )
    assert len(source) == 2
    assert rules.zero_label == "drop"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "groupvitt"], "did you mean 'groupvit'"),
        (["--dataset", "voc"], "did you mean 'voc21'"),
        ([], "expected either --data"),
        (["--data", "a", "--images", "b"], "expected either --data"),
        (["--images", "b"], "expected either --data"),
        (["--background", "0.5", "--data", "a"], "belongs to the synthetic preset"),
        (["--preset", "synthetic", "--dataset", "voc21"], "expected 'all' or 'objects'"),
        (["--preset", "synthetic", "--dataset", "objects"], "expected a threshold"),
        (["--limit", "0", "--data", "a"], "--limit: expected at least 1, got 0"),
        (["--batch-size", "0", "--data", "a"], "--batch-size: expected at least 1, got 0"),
        (["--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_bad_options_give_one_message(command, words, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        command(evaluate, "--checkpoint", "nowhere", *words)
