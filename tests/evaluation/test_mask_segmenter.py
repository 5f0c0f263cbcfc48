"""From random nano models to seen and unseen scores."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from ovs_jax.evaluation.zero_shot_evaluator import evaluate_zero_shot
from ovs_jax.evaluation.zero_shot_segmenter import (
    BoundModel,
    ClipClassifier,
    ZeroShotSegmenter,
    class_bank,
)

from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol
from ovs_jax.models.text.config import TextConfig
from ovs_jax.models.vision.clip import Clip
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.models.zegformer.config import PRESETS
from ovs_jax.models.zegformer.model import ZegFormer
from ovs_jax.nn import functional
from ovs_jax.text.class_splits import split_classes
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.typing import ClassSet

SPLIT = split_classes(ClassSet("pets", ("cow", "dog, cat", "zebra")), unseen=["zebra"])
PROTOCOL = ZeroShotProtocol("own", SPLIT, short_side=32, long_side=64)


class Scenes:
    """Three images whose left half is a cow, the right half a zebra; above, nothing is judged."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        label = np.zeros((20, 30), np.int32)
        label[:, 15:] = 2
        label[0] = 255
        image = np.full((20, 30, 3), 50 * index, np.uint8)
        return {"image": image, "label": label[:-5] if index == 2 else label, "key": f"s{index}"}


def random_model(build):
    static, params, stats = functional.abstract(build)
    rng = np.random.default_rng(0)
    draw = lambda x: (0.2 * rng.standard_normal(x.shape)).astype(np.float32)  # noqa: E731
    return BoundModel(static, *jax.tree.map(draw, (params, stats)))


@pytest.fixture(scope="module")
def clip():
    tokenizer = load_tokenizer("synthetic")
    config = ClipConfig(
        image=VisionConfig(
            image_size=32, patch_size=16, width=16, depth=1, heads=2, hidden=32, pre_norm=True
        ),
        text=TextConfig(
            vocabulary=tokenizer.vocab_size, length=48, width=8, depth=1, heads=1, hidden=8
        ),
        embedding=PRESETS["nano"].embedding,
    )
    return ClipClassifier(random_model(lambda rngs: Clip(config, rngs=rngs)), tokenizer, 48)


def test_a_model_and_clip_paint_an_image_with_all_classes(clip):
    zegformer = random_model(lambda rngs: ZegFormer(PRESETS["nano"], rngs=rngs))
    bank = class_bank(clip, PROTOCOL)
    assert bank.unseen.tolist() == [False, False, True]
    image = PROTOCOL.prepared(Scenes()[1]["image"])
    segmenter = ZeroShotSegmenter(zegformer, Fusion(), clip=clip.model, chunk=5)
    painting = segmenter.paint(image, bank)
    assert painting.scores.shape == (PRESETS["nano"].transformer.queries, 3)
    assert painting.labels().labels.shape == (20, 30)
    pooled = replace(segmenter, look="pool").paint(image, bank)
    assert np.isfinite(pooled.scores).all()
    np.testing.assert_array_equal(pooled.logits, painting.logits)
    alone = ZeroShotSegmenter(zegformer, Fusion("segment")).paint(image, bank)
    assert np.abs(alone.scores - painting.scores).max() > 1e-3
    with pytest.raises(ValueError, match="clip: expected a model for fusion 'ensemble'"):
        ZeroShotSegmenter(zegformer, Fusion())
    with pytest.raises(ValueError, match=r"bank.image_unit: expected embeddings"):
        segmenter.paint(image, replace(bank, image_unit=None))


def halves(image):
    """Two masks: the left half is surely a cow, the right half rather a dog than a zebra."""
    logits = np.full((2, 8, 8), -20.0, np.float32)
    cols = 4 * image.size[1] // image.padded[1]
    logits[0, :, :cols] = logits[1, :, cols:] = 20
    scores = np.asarray([[0.9, 0.0, 0.0], [0.0, 0.5, 0.4]], np.float32)
    unseen = np.asarray([False, False, True])
    return MaskPainting(logits, scores, unseen, image.padded, image.size, image.new_size)


def test_one_pass_scores_every_calibration():
    report = evaluate_zero_shot(
        halves, Scenes(), PROTOCOL, gammas=(0.2, 0.0), limit=2, progress=False
    )
    assert list(report.confusions) == [0.0, 0.2]
    assert report.images == 2
    assert report.result.unseen_iou == 0.0
    calibrated = report.at(0.2)
    assert calibrated.unseen_iou > 0.8
    assert calibrated.iou[0] > 0.8
    assert report.confusions[0.2].counts.sum() == 2 * 19 * 30


def test_a_bad_image_is_named():
    with pytest.raises(ValueError, match=r"image 's2': expected a label map of \(20, 30\)"):
        evaluate_zero_shot(halves, Scenes(), PROTOCOL, progress=False)
    short = replace(PROTOCOL, split=split_classes(ClassSet("one", ("cow",)), unseen=()))
    with pytest.raises(ValueError, match=r"image 's0': labels \[2\] are of no class of 'one'"):
        evaluate_zero_shot(partial(halves), Scenes(), short, progress=False)
