import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ovs_jax import parallel
from ovs_jax.data.transforms import normalize
from ovs_jax.evaluation import canvas
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.painting import (
    add_background,
    group_scores,
    inverse_temperature,
    paint,
    pixel_groups,
    rescale,
)
from ovs_jax.evaluation.refinement import Pamr, refine_groups
from ovs_jax.evaluation.segmenter import class_names
from ovs_jax.evaluation.sliding import Geometry, prepare, slot_count, window_boxes
from ovs_jax.evaluation.zero_shot import zero_shot_protocol
from ovs_jax.nn import functional
from ovs_jax.typing import ClassSet

CLASSES = ("dog", "boat", "tree", "house", "grass", "water", "sand")


def photo(height=40, width=56, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def scores_by_the_published_steps(nano, segmenter, image, bank):
    """Window by window: encode, score, paint pixels, sum, count, divide, resize."""
    static, params, stats = nano[0]
    geometry = segmenter.geometry
    resized = normalize(geometry.resized(image))
    height, width = resized.shape[:2]

    @jax.jit
    def features_of(window):
        return functional.bind(static, params, stats).segment_features(window)

    total, count = 0, np.zeros((1, height, width, 1), np.float32)
    for box in window_boxes(height, width, window=geometry.window, stride=geometry.stride):
        top, left, bottom, right = box
        features = features_of(resized[None, top:bottom, left:right])
        scores = group_scores(
            features.image_embedding,
            features.group_embeddings,
            jnp.asarray(bank.unit),
            scale=inverse_temperature(params["logit_scale"]),
        )
        if bank.background is not None:
            scores = add_background(scores, bank.background)
        painted = paint(pixel_groups(features.group_maps, (bottom - top, right - left)), scores)
        margins = ((0, 0), (top, height - bottom), (left, width - right), (0, 0))
        total = total + np.pad(painted, margins)
        count[:, top:bottom, left:right] += 1
    return np.asarray(rescale(jnp.asarray(total / count), image.shape[:2]))[0]


@pytest.mark.parametrize("background", [None, 0.4])
@pytest.mark.parametrize("size", [(40, 56), (150, 540)], ids=["one tile", "two tiles"])
def test_the_result_equals_that_of_the_published_steps(nano, segmenter, size, background):
    image = photo(*size)
    found = segmenter.segment(image, CLASSES, background=background)
    names = CLASSES if background is None else ("background", *CLASSES)
    bank = segmenter.bank(
        ClassSet("x", names, has_background=background is not None), background=background
    )
    expected = scores_by_the_published_steps(nano, segmenter, image, bank)
    assert found.classes == names
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, np.moveaxis(expected, -1, 0), atol=1e-5)
    top = np.sort(expected, axis=-1)
    clear = top[..., -1] - top[..., -2] > 1e-4
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(found.labels[clear], expected.argmax(-1)[clear])
    np.testing.assert_allclose(found.confidence, expected.max(-1), atol=1e-5)


def test_an_image_thinner_than_a_window_is_judged_by_its_own_pixels_alone(segmenter):
    image = photo(6, 100)
    windows = prepare(image, segmenter.geometry)
    assert windows.size == (10, 160)
    assert windows.pixels.shape == (9, 32, 32, 3)
    assert not windows.pixels[:, 10:].any()
    found = segmenter.segment(image, CLASSES)
    assert found.labels.shape == (6, 100)
    assert found.scores is not None
    # Memberships sum to one, so the best score lies between the least and the largest of a group.
    assert found.confidence.min() > 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 90)])
def test_images_smaller_than_a_patch_are_segmented(segmenter, shape):
    found = segmenter.segment(photo(*shape), CLASSES)
    assert found.labels.shape == shape
    assert set(np.unique(found.labels)) <= set(range(len(CLASSES)))


def test_groups_are_numbered_window_by_window(segmenter):
    found = segmenter.segment(photo(), CLASSES)
    groups = segmenter.describe([prepare(photo(), segmenter.geometry)], batch_size=8)
    described = next(groups)
    count = described.group_maps.shape[0] * described.group_maps.shape[-1]
    assert found.groups.min() >= 0
    assert found.groups.max() < count
    assert len(np.unique(found.groups)) > 1


def test_windows_of_many_images_share_batches_and_come_back_in_order(segmenter):
    geometry = segmenter.geometry
    images = [photo(40 + 9 * i, 30 + 40 * i, seed=i) for i in range(5)]
    windows = [prepare(image, geometry, extra=i) for i, image in enumerate(images)]
    assert len({len(w.pixels) for w in windows}) > 1
    together = list(segmenter.describe(iter(windows), batch_size=4))
    assert [d.windows.extra for d in together] == list(range(5))
    for described in together:
        alone = next(segmenter.describe([described.windows], batch_size=4))
        np.testing.assert_allclose(described.group_maps, alone.group_maps, atol=1e-6)
        np.testing.assert_allclose(described.group_embeddings, alone.group_embeddings, atol=1e-5)


def test_a_mesh_of_eight_devices_changes_nothing(nano, segmenter):
    parts, options = nano
    mesh = parallel.make_mesh((-1, 1, 1))
    spread = GroupSegmenter(*parts, **options, geometry=segmenter.geometry, mesh=mesh)
    image = photo()
    expected, found = (s.segment(image, CLASSES) for s in (segmenter, spread))
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_images_of_all_sizes_share_a_handful_of_programs(segmenter, monkeypatch):
    counted = []
    programs = (
        segmenter._run.features,
        segmenter._run.tables,
        segmenter._run.text,
        canvas._label_tile,
        canvas._score_tile,
    )
    bank = segmenter.bank(ClassSet("seven", CLASSES))
    rng = np.random.default_rng(0)

    def segment_many(sizes):
        windows = [prepare(photo(*size), segmenter.geometry) for size in sizes]
        for described in segmenter.describe(windows, batch_size=8):
            painting = segmenter.paint(described, bank)
            assert painting.labels().labels.shape == described.windows.new_size
        counted.append(sum(program._cache_size() for program in programs))

    before = sum(program._cache_size() for program in programs)
    segment_many([(40, 40), (30, 45), (20, 60), (90, 300)])
    segment_many([tuple(rng.integers(20, 90, 2).tolist()) for _ in range(12)])
    segment_many([tuple(rng.integers(100, 700, 2).tolist()) for _ in range(4)])
    # One program for the model; for each power of two of windows one of scores, and one of labels
    # for each of the two sides of tiles.
    powers = 4
    assert counted[-1] - before <= 1 + powers + 2 * powers
    settled = counted[-1]
    segment_many([tuple(rng.integers(20, 600, 2).tolist()) for _ in range(6)])
    assert counted[-1] - settled <= 2


def test_refining_images_of_other_sizes_compiles_nothing(segmenter):
    bank = segmenter.bank(ClassSet("seven", CLASSES))
    pamr = Pamr(iterations=2, dilations=(1, 3))

    def refined(*size):
        windows = prepare(photo(*size), segmenter.geometry)
        described = next(segmenter.describe([windows], batch_size=4))
        assert slot_count(len(described.group_maps)) == 8
        painting = segmenter.paint(described, bank, refinement=pamr)
        return painting, segmenter.paint(described, bank)

    programs = (refine_groups, canvas._label_tile)
    refined(40, 56)[0].labels()
    before = [program._cache_size() for program in programs]
    painting, plain = refined(50, 60)
    labels, scores = painting.labels(), painting.scores()
    assert [program._cache_size() for program in programs] == before
    np.testing.assert_array_equal(labels.labels, scores.argmax(axis=0))
    assert (labels.labels != plain.labels().labels).any()
    found = segmenter.segment(photo(50, 60), CLASSES, refinement=pamr, keep_scores=False)
    np.testing.assert_array_equal(found.labels, labels.labels)


def test_another_number_of_classes_compiles_no_new_painting(segmenter):
    segmenter.segment(photo(), CLASSES, keep_scores=False)
    before = canvas._label_tile._cache_size()
    segmenter.segment(photo(), CLASSES[:3], keep_scores=False)
    segmenter.segment(photo(), CLASSES[:2], background=0.5, keep_scores=False)
    assert canvas._label_tile._cache_size() == before


def test_a_new_segmenter_of_the_same_model_compiles_nothing(nano, segmenter):
    (static, params, stats), options = nano
    segmenter.segment(photo(), CLASSES)
    before = segmenter._run.features._cache_size()
    other = jax.tree.map(lambda x: x * 1.1, params)
    again = GroupSegmenter(static, other, stats, **options, geometry=segmenter.geometry)
    assert again._run is segmenter._run
    again.segment(photo(), CLASSES)
    assert segmenter._run.features._cache_size() == before


def test_a_file_is_segmented_like_its_pixels(segmenter, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo()).save(path)
    from_file = segmenter.segment(str(path), CLASSES, keep_scores=False)
    np.testing.assert_array_equal(from_file.labels, segmenter.segment(photo(), CLASSES).labels)
    assert from_file.scores is None


@pytest.mark.parametrize(
    ("classes", "background", "message"),
    [
        ((), None, "expected at least one class, got none"),
        (("dog", "Dog "), None, "expected every class once"),
        (("dog", " "), None, "are empty"),
        ("dog", None, "expected a sequence of names, got the string 'dog'"),
        (("dog",), 1.5, "expected a threshold of 0 to 1, got 1.5"),
        (("background", "dog"), 0.5, "expected every class once"),
    ],
)
def test_bad_class_lists_give_one_clear_message(segmenter, classes, background, message):
    with pytest.raises(ValueError, match=message):
        segmenter.segment(photo(), classes, background=background)


def test_a_class_that_is_no_name_is_an_error():
    with pytest.raises(ValueError, match=r"classes: expected names, got \[3\]"):
        class_names(["dog", 3])


def test_an_image_without_pixels_is_an_error(segmenter):
    with pytest.raises(ValueError, match="at least one pixel"):
        segmenter.segment(np.zeros((0, 5, 3), np.uint8), CLASSES)


def test_a_window_that_the_patches_do_not_fill_is_an_error(nano):
    parts, options = nano
    geometry = Geometry(window=36, stride=18, short_side=48, long_side=160)
    segmenter = GroupSegmenter(*parts, **options, geometry=geometry)
    with pytest.raises(ValueError, match="36 x 36 pixels, expected multiples of the patch size 8"):
        segmenter.segment(photo(), CLASSES)


def test_a_protocol_for_masks_is_refused_with_the_presets_that_fit(segmenter):
    with pytest.raises(ValueError, match=r"preset 'zegformer' judges .* masks .* groupvit, ovsegm"):
        segmenter.judged_by(zero_shot_protocol("zegformer", "pascal_voc"))
