"""Random nano models that find masks, with and without CLIP."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from ovs_jax.evaluation import mask_segmenter
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.gallery import draw_gallery
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.mask_segmenter import (
    BoundModel,
    ClipClassifier,
    MaskSegmenter,
    PlainEmbedder,
)
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.refinement import Pamr
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.evaluation.sliding import Geometry
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

NANO = PRESETS["nano"]
SPLIT = split_classes(ClassSet("pets", ("cow", "dog, cat", "zebra")), unseen=["zebra"])
PROTOCOL = ZeroShotProtocol("own", SPLIT, short_side=32, long_side=64)
ALONE = replace(PROTOCOL, fusion=Fusion("segment"))


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


IMAGE = Scenes()[1]["image"]


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
        embedding=NANO.embedding,
    )
    return ClipClassifier(random_model(lambda rngs: Clip(config, rngs=rngs)), tokenizer, 48)


@pytest.fixture(scope="module")
def zegformer():
    return random_model(lambda rngs: ZegFormer(NANO, rngs=rngs))


@pytest.fixture
def segmenter(zegformer, clip):
    return MaskSegmenter(zegformer, text=clip, clip=clip, defaults=PROTOCOL, chunk=5)


def embed(names):
    rows = [np.random.default_rng(len(name)).standard_normal(NANO.embedding) for name in names]
    return np.asarray([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture
def without_clip(zegformer):
    return MaskSegmenter(zegformer, text=PlainEmbedder(embed), defaults=ALONE)


def painted(segmenter, protocol):
    image = protocol.prepared(IMAGE, extra="one")
    (extra, painting), _ = segmenter.paintings([image, image], protocol)
    assert extra == "one"
    return painting


def test_a_model_and_clip_paint_an_image_with_all_classes(segmenter):
    assert segmenter.bank(PROTOCOL).unseen.tolist() == [False, False, True]
    painting = painted(segmenter, PROTOCOL)
    assert painting.mask_scores.shape == (NANO.transformer.queries, 3)
    assert painting.labels().labels.shape == (20, 30)
    pooled = painted(segmenter, replace(PROTOCOL, look="pool"))
    assert np.isfinite(pooled.mask_scores).all()
    np.testing.assert_array_equal(pooled.logits, painting.logits)
    alone = painted(segmenter, replace(ALONE, gamma=0.25))
    assert alone.gamma == 0.25
    assert (pooled.mask_scores != painting.mask_scores).any()
    assert np.abs(alone.mask_scores - painting.mask_scores).max() > 1e-3


def test_class_names_are_embedded_once_for_many_images(segmenter, monkeypatch):
    calls, embed = [], ClipClassifier.embed_classes

    def counted(*names, **options):
        calls.append(names)
        return embed(*names, **options)

    monkeypatch.setattr(ClipClassifier, "embed_classes", counted)
    unheard = replace(ALONE, templates=("one {} of these.",))
    first, second = painted(segmenter, unheard), painted(segmenter, unheard)
    np.testing.assert_array_equal(first.labels().labels, second.labels().labels)
    assert len(calls) == 1


def test_a_photo_is_segmented_with_any_words_those_of_training_being_seen(without_clip):
    words = [" Cat ", "sea  lion", "zebra", "cow, ox"]
    found = without_clip.segment(IMAGE, words)
    assert found.classes == ("Cat", "sea lion", "zebra", "cow, ox")
    assert found.scores.shape == (4, 20, 30)
    np.testing.assert_array_equal(found.labels, found.scores.argmax(axis=0))
    assert set(np.unique(found.groups)) <= set(range(NANO.transformer.queries))
    rules = without_clip.judged_by(Protocol("own", ClassSet("mine", found.classes)))
    assert [found.classes[i] for i in rules.split.unseen] == ["sea lion", "zebra"]


def test_another_number_of_classes_compiles_neither_model_again(segmenter):
    programs = (mask_segmenter._find_masks, mask_segmenter._show_masks)
    segmenter.segment(IMAGE, ["cow", "zebra"], keep_scores=False)
    before = [program._cache_size() for program in programs]
    segmenter.segment(IMAGE, ["cow", "zebra", "sofa"], keep_scores=False)
    assert [program._cache_size() for program in programs] == before


def test_seen_classes_are_handicapped_by_the_calibration(without_clip):
    before = without_clip.segment(IMAGE, ["cow", "zebra"]).scores
    without_clip.defaults = replace(ALONE, gamma=0.5)
    after = without_clip.segment(IMAGE, ["cow", "zebra"]).scores
    np.testing.assert_allclose(before - after, [np.full((20, 30), 0.5), np.zeros((20, 30))])


def test_pixels_below_a_threshold_are_background(without_clip):
    plain = without_clip.segment(IMAGE, ["cow", "zebra"])
    threshold = float(np.median(plain.confidence))
    found = without_clip.segment(IMAGE, ["cow", "zebra"], background=threshold)
    below = plain.confidence < threshold
    assert found.classes == ("background", "cow", "zebra")
    assert 0 < below.mean() < 1
    np.testing.assert_array_equal(found.labels, np.where(below, 0, plain.labels + 1))
    assert (found.confidence[below] == 1).all()
    assert (found.scores[0] == np.float32(threshold)).all()
    np.testing.assert_allclose(found.scores[1:], plain.scores)


def test_a_class_list_for_groups_is_judged_with_the_seen_classes_of_training(without_clip):
    names = ClassSet("three", ("sheep", "cat", "cow"))
    plain = Protocol("tcl", names, Geometry(window=48, stride=24, short_side=32, long_side=64))
    report = evaluate(without_clip, Scenes(), plain, limit=2, gammas=(0.5,), progress=False)
    assert report.title == "tcl / three"
    assert [row["group"] for row in report.rows()] == ["unseen", "seen", "seen"]
    assert report.confusions[0.5].counts.sum() == 2 * 19 * 30
    assert set(report.figures()) >= {"seen_iou", "unseen_iou", "harmonic_iou", "mean_iou"}
    page = draw_gallery(without_clip, Scenes(), plain, indices=[0, 1])
    assert page.dtype == np.uint8


def test_what_this_kind_of_model_cannot_be_asked_is_told(segmenter, without_clip, zegformer):
    with pytest.raises(ValueError, match=r"fusion 'ensemble' asks CLIP .* expected fusion 'segm"):
        without_clip.judged_by(PROTOCOL)
    with pytest.raises(ValueError, match="refinement: belongs to groups"):
        segmenter.segment(IMAGE, ["cow"], refinement=Pamr())
    spoilt = replace(ALONE, split=split_classes(SPLIT.classes, unseen=["cow"]))
    with pytest.raises(ValueError, match=r"not trained: \['zebra'\], trained besides: \['cow'\]"):
        segmenter.judged_by(spoilt)
    assert segmenter.judged_by(replace(spoilt, elsewhere=True)).split == spoilt.split
    objects = ClassSet("objects", ("background", "cow"), has_background=True)
    with pytest.raises(ValueError, match=r"'objects' has a background, .* such as voc20"):
        evaluate(without_clip, Scenes(), Protocol("tcl", objects, background=0.5))
    with pytest.raises(ValueError, match="background sweep: preset 'own' has no background"):
        evaluate(without_clip, Scenes(), ALONE, thresholds=(0.5,))


class Halves(Segmenter):
    """Two masks: the left half is surely a cow, the right half rather a dog than a zebra."""

    def __init__(self):
        super().__init__(Geometry())

    def judged_by(self, protocol):
        return protocol

    def paintings(self, images, protocol, *, batch_size=None):
        for image in images:
            logits = np.full((2, 8, 8), -20.0, np.float32)
            cols = 4 * image.size[1] // image.padded[1]
            logits[0, :, :cols] = logits[1, :, cols:] = 20
            scores = np.asarray([[0.9, 0.0, 0.0], [0.0, 0.5, 0.4]], np.float32)
            unseen = np.asarray([False, False, True])
            sizes = image.padded, image.size, image.new_size
            yield image.extra, MaskPainting(logits, scores, unseen, *sizes)


def test_one_pass_scores_every_calibration():
    report = evaluate(Halves(), Scenes(), PROTOCOL, gammas=(0.2, 0.0), limit=2, progress=False)
    assert list(report.confusions) == [0.0, 0.2]
    assert report.images == 2
    assert report.result.unseen_iou == 0.0
    assert report.score == 0.0
    calibrated = report.at(0.2)
    assert calibrated.unseen_iou > 0.8
    assert calibrated.iou[0] > 0.8
    assert report.confusions[0.2].counts.sum() == 2 * 19 * 30


def test_a_bad_image_is_named():
    with pytest.raises(ValueError, match=r"image 's2': label: expected the image's height"):
        evaluate(Halves(), Scenes(), PROTOCOL, progress=False)
    short = replace(PROTOCOL, split=split_classes(ClassSet("one", ("cow",)), unseen=()))
    with pytest.raises(ValueError, match=r"image 's0': label: labels \[2\] are of no class of 'on"):
        evaluate(Halves(), Scenes(), short, progress=False)
