import csv
import io
import json

import jax
import numpy as np
import pytest

from ovs_jax.evaluation import classification
from ovs_jax.evaluation.classification import (
    ClassificationProtocol,
    ClassificationReport,
    classify,
)
from ovs_jax.evaluation.whole_images import CenterCrop

NAMES = ("dog", "boat", "tree", "house", "grass", "water", "dog")


def rules(**changes):
    fields = {
        "class_list": "seven",
        "names": NAMES,
        "prompt_set": "two",
        "templates": ("a photo of a {}.", "the {}"),
        "crop": CenterCrop(36, 32),
    }
    return ClassificationProtocol(**fields | changes)


def photos(count=7):
    rng = np.random.default_rng(0)
    return [
        {
            "image": rng.integers(0, 256, (*rng.integers(30, 60, 2), 3), np.uint8),
            "label_index": int(rng.integers(len(NAMES))),
            "key": f"photo-{i}",
        }
        for i in range(count)
    ]


def test_a_class_is_found_among_those_with_the_nearest_embeddings(segmenter):
    source = photos()
    report = classify(segmenter, source, rules(), progress=False, batch_size=4)
    unit = segmenter.embed_classes(NAMES, templates=rules().templates)
    counts = np.zeros((7, 3), int)
    for record in source:
        embedded = segmenter.embed_images(np.stack([rules().crop(record["image"])] * 4))[0]
        order = np.argsort(-(unit @ embedded), kind="stable")
        truth = record["label_index"]
        counts[truth] += [1, truth == order[0], truth in order[:5]]
    np.testing.assert_array_equal(report.counts, counts)
    assert report.images == 7
    assert 0 < report.top5 < 100


def test_every_process_takes_its_share(segmenter, monkeypatch):
    whole = classify(segmenter, photos(), rules(), progress=False, batch_size=4)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(classification, "sum_over_hosts", lambda counts: counts)
    merged = 0
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        merged += classify(segmenter, photos(), rules(), progress=False, batch_size=4).counts
    np.testing.assert_array_equal(merged, whole.counts)


@pytest.fixture
def report():
    counts = np.asarray([[4, 1, 3], [0, 0, 0], [1, 1, 1]])
    return ClassificationReport(rules(names=("a|b", "none", "c")), counts, 1.25)


def test_scores_are_in_percent_and_computed_by_hand(report):
    assert (report.top1, report.top5, report.images) == (40.0, 80.0, 5)
    stored = json.loads(report.to_json())
    assert (stored["top1"], stored["top5"]) == (40.0, 80.0)
    assert stored["per_class"][0] == {"class": "a|b", "top1": 25.0, "top5": 75.0, "images": 4}
    assert stored["per_class"][1]["top1"] is None
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["images"] for row in rows] == ["4", "0", "1"]


def test_markdown_has_the_protocol_in_full(report):
    shown = report.to_markdown()
    assert "**top-1 40.00** · top-5 80.00 · 5 images" in shown
    assert "| a\\|b | 25.00 | 75.00 | 4 |" in shown
    assert "| none | – | – | 0 |" in shown
    for name in report.choices():
        assert f"| {name} |" in shown


def test_every_field_of_a_protocol_shows_in_its_choices():
    changes = {
        "class_list": "other",
        "names": ("x",),
        "prompt_set": "other",
        "templates": ("{}",),
        "crop": CenterCrop(32, 32),
    }
    for field, value in changes.items():
        assert rules(**{field: value}).choices() != rules().choices(), field


@pytest.mark.parametrize("value", [7, -1, "dog", None])
def test_a_label_that_names_no_class_is_an_error_with_the_image(segmenter, value):
    source = photos(2)
    source[1]["label_index"] = value
    with pytest.raises(ValueError, match=r"image 'photo-1': label_index: expected 0 to 6"):
        classify(segmenter, source, rules(), progress=False, batch_size=4)


def test_nothing_to_classify_is_an_error(segmenter):
    with pytest.raises(ValueError, match="at least one image"):
        classify(segmenter, [], rules())
    with pytest.raises(ValueError, match="at least one class and one prompt, got 7 and 0"):
        rules(templates=())
