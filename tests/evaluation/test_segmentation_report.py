import csv
import io
import json

import numpy as np
import pytest

from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.segmentation_report import SegmentationReport
from ovs_jax.typing import ClassSet


@pytest.fixture
def report():
    classes = ClassSet("three", ("dog", "a|b", "unicorn"))
    counts = np.asarray([[6, 2, 0], [0, 2, 0], [0, 0, 0], [0, 4, 0]])
    return SegmentationReport(
        protocol=Protocol("test", classes),
        confusion=Confusion(counts),
        groups=Confusion(np.asarray([[8, 0, 0], [0, 2, 0], [0, 0, 0], [4, 0, 0]])),
        images=3,
        seconds=1.5,
    )


def test_scores_are_in_percent_and_computed_by_hand(report):
    assert report.mean_iou == pytest.approx(100 * (6 / 8 + 2 / 8) / 2)
    assert report.pixel_accuracy == pytest.approx(80)
    assert report.group_mean_iou == pytest.approx(100 * (8 / 12 + 1) / 2)
    assert report.confusion.single_class_mean_iou == pytest.approx(8 / 14 / 2)


def test_json_has_everything_and_no_nan(report):
    stored = json.loads(report.to_json())
    assert stored["mean_iou"] == 50.0
    assert stored["pixels_outside_the_class_list"] == 4
    assert stored["per_class"][2] == {
        "class": "unicorn",
        "iou": None,
        "accuracy": None,
        "group_iou": None,
        "true_pixels": 0,
        "predicted_pixels": 0,
    }
    assert stored["protocol"]["prompts"] == ["a photo of a {}."]


def test_csv_has_a_row_for_each_class(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["class"] for row in rows] == ["dog", "a|b", "unicorn"]
    assert rows[0]["iou"] == "75.0"
    assert rows[2]["iou"] == ""


def test_markdown_prints_the_protocol_in_full_beside_the_score(report):
    text = report.to_markdown()
    assert "**mIoU 50.00**" in text
    for name in report.protocol.choices():
        assert f"| {name} |" in text
    assert "| dog | 75.00 | 75.00 | 66.67 | 8 | 6 |" in text
    assert "| a\\|b | 25.00 |" in text
    assert "| unicorn | – | – | – | 0 | 0 |" in text
    assert "4 judged pixels" in text


def test_a_report_on_nothing_says_so_without_failing():
    classes = ClassSet("one", ("dog",))
    empty = SegmentationReport(
        Protocol("test", classes), Confusion.empty(1), Confusion.empty(1), 1, 0.0
    )
    assert "**mIoU –**" in empty.to_markdown()
    assert json.loads(empty.to_json())["mean_iou"] is None
