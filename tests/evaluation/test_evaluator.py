import io
import json
import logging

import jax
import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.world import SyntheticWorld
from ovs_jax.evaluation.canvas import Counts
from ovs_jax.evaluation.confusion import Confusion, encode_truth
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.gallery import draw_gallery
from ovs_jax.evaluation.protocols import Protocol, protocol, synthetic_protocol
from ovs_jax.evaluation.refinement import Pamr
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.typing import ClassSet

CLASSES = ClassSet("three", ("dog", "boat", "tree"))
GEOMETRY = Geometry(window=32, stride=16, short_side=40, long_side=160)


class Photos(list):
    """Labelled images of many sizes."""


def photos(count=5, *, encoded=False, seed=0, side=None):
    rng = np.random.default_rng(seed)
    records = Photos()
    for i in range(count):
        size = rng.integers(20, 90, 2) if side is None else (side, side)
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        label = rng.choice([0, 1, 2, 255], size=size).astype(np.int32)
        if encoded:
            image, label = (to_png(x) for x in (image, label.astype(np.uint8)))
        records.append({"image": image, "label": label, "key": f"photo-{i}"})
    return records


def to_png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def three(**changes):
    return Protocol("test", CLASSES, geometry=GEOMETRY, **changes)


def test_the_score_is_that_of_segmenting_each_image_alone(segmenter):
    source = photos()
    report = evaluate(segmenter, source, three(), progress=False, batch_size=4)
    segmenter.geometry, old = GEOMETRY, segmenter.geometry
    confusion, groups = Confusion.empty(3), Confusion.empty(3)
    for record in source:
        found = segmenter.segment(record["image"], CLASSES.names)
        truth = encode_truth(record["label"], classes=3)
        valid = truth >= 0
        counts = np.zeros((4, 3), np.int64)
        np.add.at(counts, (truth[valid], found.labels[valid]), 1)
        by_group = np.zeros((found.groups.max() + 1, 4), np.int64)
        np.add.at(by_group, (found.groups[valid], truth[valid]), 1)
        confusion += Confusion(counts)
        groups += Counts(Confusion.empty(3), by_group).named_by_majority
    segmenter.geometry = old
    np.testing.assert_array_equal(report.confusion.counts, confusion.counts)
    np.testing.assert_array_equal(report.groups.counts, groups.counts)
    assert report.images == 5
    assert report.confusion.counts.sum() == sum((r["label"] != 255).sum() for r in source)


def test_encoded_records_score_like_arrays_and_a_limit_takes_the_first(segmenter):
    plain, encoded = photos(), photos(encoded=True)
    few = evaluate(segmenter, encoded, three(), progress=False, limit=2)
    same = evaluate(segmenter, Photos(plain[:2]), three(), progress=False)
    np.testing.assert_array_equal(few.confusion.counts, same.confusion.counts)
    assert few.images == 2


def test_every_process_takes_its_share_and_the_shares_make_the_whole(segmenter, monkeypatch):
    source = photos()
    whole = evaluate(segmenter, source, three(), progress=False)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    merged = Confusion.empty(3)
    monkeypatch.setattr("ovs_jax.evaluation.tally.over_hosts", lambda confusion: confusion)
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        merged += evaluate(segmenter, source, three(), progress=False).confusion
    np.testing.assert_array_equal(merged.counts, whole.confusion.counts)


def test_a_bar_shows_progress(segmenter, capsys):
    evaluate(segmenter, photos(2), three(), progress=True)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "mIoU=" in shown


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image", b"nonsense", "not an image"),
        ("image", np.zeros((9, 9), np.uint8), r"image of wrong kind .* got uint8 \[9, 9\]"),
        ("image", np.zeros((9, 9, 3)), r"image of wrong kind .* got float64 \[9, 9, 3\]"),
        ("label", np.zeros((3, 3), np.int32), "expected the image's height and width"),
        ("label", b"", "empty file"),
        ("label", None, r"expected integers \[h, w\], got object"),
        ("label", np.zeros((20, 20)), r"got float64 \(20, 20\)"),
    ],
)
def test_a_bad_record_stops_the_evaluation_with_its_name(segmenter, field, value, message):
    source = photos(3)
    source[1] = source[1] | {field: value}
    with pytest.raises(ValueError, match=rf"evaluation, image 'photo-1': .*{message}"):
        evaluate(segmenter, source, three(), progress=False)


def test_the_label_file_is_named_where_it_is_wrong(segmenter):
    source = photos(1)
    source[0] |= {"label": np.zeros((3, 3), np.int32), "label_key": "maps/0.png"}
    with pytest.raises(ValueError, match=r"image 'photo-0': label maps/0\.png: expected the image"):
        evaluate(segmenter, source, three(), progress=False)


def test_images_smaller_than_a_patch_are_scored(segmenter):
    source = Photos()
    for i, size in enumerate([(3, 3), (1, 300), (300, 1)]):
        label = np.zeros(size, np.int32)
        source.append({"image": np.zeros((*size, 3), np.uint8), "label": label, "key": str(i)})
    report = evaluate(segmenter, source, three(), progress=False)
    assert report.confusion.counts.sum() == 9 + 300 + 300


def test_labels_of_no_class_are_an_error_unless_the_protocol_counts_them(segmenter, caplog):
    source = photos(1)
    source[0]["label"][:2] = 7
    with pytest.raises(ValueError, match=r"3 classes of 'three' or 255, got \[7\]"):
        evaluate(segmenter, source, three(), progress=False)
    with caplog.at_level(logging.WARNING):
        report = evaluate(segmenter, source, three(outside_labels="count"), progress=False)
    assert report.confusion.outside == 2 * source[0]["label"].shape[1]
    assert "name no class of 'three'" in caplog.text
    assert "name no class" in report.to_markdown()


def test_no_image_is_an_error(segmenter):
    with pytest.raises(ValueError, match="at least one image, got 0"):
        evaluate(segmenter, Photos(), three())


def objects(background, **changes):
    names = ClassSet("objects", ("background", *CLASSES.names), has_background=True)
    return Protocol("test", names, geometry=GEOMETRY, background=background, **changes)


REFINED = {"refinement": Pamr(iterations=2, dilations=(1, 3))}


@pytest.mark.parametrize("changes", [{}, {"background_rule": "fixed"} | REFINED], ids=["", "pamr"])
def test_a_sweep_gives_the_scores_of_every_threshold_from_one_pass(segmenter, changes, monkeypatch):
    source = photos(2, side=40)
    described = []
    run = segmenter._features
    monkeypatch.setattr(segmenter, "_features", lambda x: described.append(len(x)) or run(x))
    thresholds = (0.1, 0.25, 0.4)
    rules = objects(0.25, **changes)
    swept = evaluate(segmenter, source, rules, thresholds=thresholds, progress=False)
    passes = len(described)
    for threshold in thresholds:
        alone = evaluate(segmenter, source, objects(threshold, **changes), progress=False)
        found = swept.sweep.confusion(threshold)
        np.testing.assert_array_equal(found.counts, alone.confusion.counts)
        if threshold == rules.background:
            np.testing.assert_array_equal(swept.confusion.counts, alone.confusion.counts)
            np.testing.assert_array_equal(swept.groups.counts, alone.groups.counts)
    assert len(described) == 4 * passes
    shown = swept.to_markdown()
    assert "| 0.25 |" in shown
    assert "chosen on the images that it is scored on" in shown
    stored = json.loads(swept.to_json())
    assert [row["threshold"] for row in stored["background_sweep"]] == list(thresholds)
    best = max(stored["background_sweep"], key=lambda row: row["mean_iou"])
    assert stored["best_of_sweep"] == best


def test_a_sweep_without_a_background_is_an_error(segmenter):
    with pytest.raises(ValueError, match="class list 'three' has no background"):
        evaluate(segmenter, photos(1), three(), thresholds=(0.5,), progress=False)


def test_refined_masks_are_scored_and_drawn(segmenter):
    source = photos(2, side=40)
    plain = evaluate(segmenter, source, three(), progress=False)
    refined = evaluate(segmenter, source, three(**REFINED), progress=False)
    assert refined.confusion.counts.sum() == plain.confusion.counts.sum()
    assert (refined.groups.counts != plain.groups.counts).any()
    page = draw_gallery(segmenter, source, three(**REFINED), indices=[0])
    assert (page != draw_gallery(segmenter, source, three(), indices=[0])).any()


def test_arrays_are_class_indices_where_stored_labels_are_not(segmenter):
    plain, encoded = photos(2), photos(2, encoded=True)
    for record, stored in zip(plain, encoded, strict=True):
        label = record["label"]
        stored["label"] = to_png(np.where(label == 255, 255, label + 1).astype(np.uint8))
    from_arrays, from_files = (
        evaluate(segmenter, source, three(zero_label="drop"), progress=False)
        for source in (plain, encoded)
    )
    np.testing.assert_array_equal(from_arrays.confusion.counts, from_files.confusion.counts)


@pytest.mark.parametrize("labels", ["all", "objects"])
def test_the_synthetic_world_is_scored_with_and_without_background(segmenter, labels):
    source = SyntheticWorld(WorldConfig(size=32), split="validation", length=3).segmentation(labels)
    background = 0.3 if labels == "objects" else None
    rules = synthetic_protocol(source.class_set, size=32, background=background)
    report = evaluate(segmenter, source, rules, progress=False)
    assert report.confusion.counts.sum() == 3 * 32 * 32
    assert 0 <= report.mean_iou <= report.group_mean_iou <= 100
    page = draw_gallery(segmenter, source, rules, indices=[0, 2])
    assert page.shape[1] > 8 * 160


def test_real_photographs_are_scored_under_the_published_protocol(segmenter, shared_data):
    from ovs_jax.data.benchmarks import open_benchmark

    source = open_benchmark("voc21", shared_data / "voc_layout")
    rules = protocol("ovsegmentor", "voc21")
    report = evaluate(segmenter, source, rules, progress=False, limit=2, batch_size=2)
    assert report.images == 2
    assert 0 <= report.mean_iou <= 100
