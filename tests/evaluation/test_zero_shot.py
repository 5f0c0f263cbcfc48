import json

import numpy as np
import pytest

from ovs_jax.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from ovs_jax.evaluation.confusion import Confusion
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.regions import CLIP_MEAN, CLIP_STD
from ovs_jax.evaluation.zero_shot import (
    ZeroShotProtocol,
    zero_shot_protocol,
    zero_shot_protocol_names,
)
from ovs_jax.evaluation.zero_shot_report import ZeroShotReport
from ovs_jax.text.class_splits import split_classes
from ovs_jax.typing import ClassSet

SPLIT = split_classes(ClassSet("pets", ("cat", "dog", "cow")), unseen=["cow"])
COUNTS = np.asarray([[6, 2, 0], [1, 3, 0], [0, 0, 4], [0, 0, 0]])


def test_the_published_protocols_have_their_published_choices():
    assert len(zero_shot_protocol_names()) == 7
    coco = zero_shot_protocol("zegformer", "coco_stuff")
    assert (coco.gamma, coco.short_side, coco.long_side) == (0.1, 640, 2560)
    assert (len(coco.templates), len(coco.image_templates)) == (1, 32)
    assert len(zero_shot_protocol("zegformer_resnet50", "coco_stuff").templates) == 8
    voc = zero_shot_protocol("zegformer_resnet50", "pascal_voc")
    assert (voc.gamma, voc.fusion.kind, voc.short_side) == (0.0, "image", 512)
    ade = zero_shot_protocol("zegformer", "ade20k_full")
    assert (ade.ignore_label, ade.fusion.kind, len(ade.split.unseen)) == (65535, "ensemble", 275)
    assert zero_shot_protocol("zegformer_transfer", "ade20k_full").fusion.kind == "image"
    with pytest.raises(ValueError, match="data set of protocol preset 'zegformer': unknown 'voc'"):
        zero_shot_protocol("zegformer", "voc")


def test_every_choice_can_be_printed_and_stored():
    for name in zero_shot_protocol_names():
        choices = zero_shot_protocol(*name.split("/")).choices()
        assert json.loads(json.dumps(choices)) == choices
    alone = ZeroShotProtocol("own", SPLIT, fusion=Fusion("segment")).choices()
    assert "CLIP is shown" not in alone
    assert alone["calibration"] == "none"


def test_an_image_is_resized_normalised_twice_and_padded_to_multiples_of_32():
    image = np.full((30, 45, 3), 128, np.uint8)
    prepared = ZeroShotProtocol("own", SPLIT, short_side=40, long_side=100).prepared(image)
    assert prepared.size == (40, 60)
    assert prepared.padded == (64, 64)
    assert prepared.new_size == (30, 45)
    for pixels, mean, std in (
        (prepared.pixels, IMAGENET_MEAN, IMAGENET_STD),
        (prepared.clip_pixels, CLIP_MEAN, CLIP_STD),
    ):
        want = (128 - np.asarray(mean)) / np.asarray(std)
        np.testing.assert_allclose(pixels[39, 59], want, rtol=1e-5)
    for pixels in (prepared.pixels, prepared.clip_pixels):
        assert not pixels[40:].any()
        assert not pixels[:, 60:].any()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"templates": ()}, "at least one prompt for each branch"),
        ({"short_side": 3000}, "short_side: expected 1 to long_side 2560, got 3000"),
        ({"gamma": -0.1}, "gamma: expected a number of at least 0"),
    ],
)
def test_protocols_that_make_no_sense_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        ZeroShotProtocol("own", SPLIT, **choices)


@pytest.fixture
def report():
    counts = COUNTS.copy()
    counts[2] = 0
    confusions = {0.0: Confusion(COUNTS), 0.1: Confusion(counts)}
    protocol = ZeroShotProtocol("own", SPLIT, fusion=Fusion("segment"))
    return ZeroShotReport(protocol, confusions, images=3, seconds=1.25)


def test_a_report_has_seen_unseen_and_harmonic_scores_of_every_calibration(report):
    stored = json.loads(report.to_json())
    assert stored["seen_iou"] == pytest.approx(100 * (6 / 9 + 0.5) / 2, abs=1e-3)
    assert stored["unseen_iou"] == 100.0
    assert stored["per_class"][2]["group"] == "unseen"
    sweep = {row["gamma"]: row for row in stored["calibration_sweep"]}
    assert sweep[0.0]["harmonic_iou"] == stored["harmonic_iou"]
    assert sweep[0.1]["harmonic_iou"] is None
    text = report.to_markdown()
    assert "seen 58.33 · unseen 100.00 · harmonic 73.68" in text
    assert "Classes that have pixels alone" in text
    assert text.count("| 0.1 |") == 1
    assert report.to_csv().splitlines()[0].startswith("class,group,iou")


def test_a_report_without_the_protocols_own_calibration_is_refused(report):
    with pytest.raises(ValueError, match=r"expected the protocol's gamma 0.0 among"):
        ZeroShotReport(report.protocol, {0.1: Confusion(COUNTS)}, images=3, seconds=1.0)
