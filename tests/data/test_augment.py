import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.data.augment import (
    OPERATIONS,
    HorizontalFlip,
    RandAugment,
    RandomErasing,
    RandomResizedCrop,
    apply_operation,
    stage1_augmentation,
    stage2_augmentation,
)

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def reference(golden):
    return np.load(golden / "misc" / "randaugment.npz")


def picture(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_every_operation_of_the_policy_equals_the_reference(reference):
    outputs = [name.removeprefix("out.") for name in reference if name.startswith("out.")]
    assert {name.split(".")[0] for name in outputs} == set(OPERATIONS)
    for output in outputs:
        name, _, resample = output.partition(".")
        argument = float(reference[f"arg.{name}"][0]) if reference[f"arg.{name}"].size else None
        result = apply_operation(
            name, reference["input"], argument, resample=resample or "bilinear"
        )
        np.testing.assert_array_equal(result, reference[f"out.{output}"], err_msg=output)


def test_magnitude_nine_gives_the_arguments_of_the_reference(reference):
    for name, operation in OPERATIONS.items():
        stored = reference[f"arg.{name}"].tolist()
        if operation.argument is None:
            assert stored == [], name
        else:
            signs = [operation.argument(0.9, sign) for sign in (-1.0, 1.0)]
            assert min(abs(value - stored[0]) for value in signs) < 1e-12, name


def test_posterising_at_full_magnitude_gives_black_instead_of_an_error():
    argument = OPERATIONS["PosterizeIncreasing"].argument
    assert argument is not None
    assert argument(1.0, 1.0) == 0
    assert not apply_operation("PosterizeIncreasing", picture(), 0.0).any()


@pytest.mark.parametrize(
    ("name", "argument", "resample", "message"),
    [
        ("Blur", 1.0, "bilinear", "expected one of AutoContrast, .* got 'Blur'"),
        ("Rotate", None, "bilinear", "Rotate: expected an argument, got None"),
        ("Invert", 1.0, "bilinear", "Invert: expected no argument, got 1.0"),
        ("Rotate", 1.0, "nearest", "expected resample 'bilinear' or 'bicubic', got 'nearest'"),
    ],
)
def test_a_wrong_operation_is_refused_with_what_was_expected(name, argument, resample, message):
    # The type checker of the tests would refuse the filter first.
    unchecked = getattr(apply_operation, "__wrapped__", apply_operation)
    with pytest.raises(ValueError, match=message):
        unchecked(name, picture(), argument, resample=resample)


def test_randaugment_uses_every_operation_and_leaves_a_quarter_unchanged(monkeypatch):
    seen, unchanged, image = [], 0, picture()
    monkeypatch.setattr(
        "ovs_jax.data.augment.apply_operation",
        lambda name, image, argument, *, resample: (seen.append((name, argument, resample)), image)[
            1
        ],
    )
    for seed in range(2000):
        before = len(seen)
        RandAugment()(image, np.random.default_rng(seed))
        unchanged += len(seen) == before
    assert {name for name, *_ in seen} == set(OPERATIONS)
    assert abs(len(seen) / 2000 - 1.0) < 0.05
    assert abs(unchanged / 2000 - 0.25) < 0.03
    angles = np.array([argument for name, argument, _ in seen if name == "Rotate"])
    assert abs((angles > 0).mean() - 0.5) < 0.15
    assert np.abs(angles).max() <= 30
    assert abs(np.abs(angles).mean() - 27) < 0.5
    assert {resample for name, _, resample in seen if name == "Rotate"} == {"bilinear", "bicubic"}
    assert {resample for name, _, resample in seen if name == "Invert"} == {"bilinear"}


@given(st.integers(1, 90), st.integers(1, 90), SEEDS)
def test_a_crop_lies_inside_the_image_and_has_an_allowed_area_and_aspect(height, width, seed):
    crop = RandomResizedCrop(32)
    left, top, right, bottom = crop.box(height, width, rng=np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    rows, columns = bottom - top, right - left
    # Rounding moves each side by at most half a pixel.
    assert (columns - 0.5) / (rows + 0.5) <= 4 / 3
    assert (columns + 0.5) / (rows - 0.5) >= 3 / 4
    if min(rows, columns) > 8:
        assert rows * columns >= 0.08 * height * width * 0.85


def test_a_strip_too_narrow_for_any_aspect_gives_its_centre():
    box = RandomResizedCrop(8, scale=(1.0, 1.0)).box(100, 10, rng=np.random.default_rng(0))
    assert box == (0, 43, 10, 56)


def test_a_crop_of_the_whole_image_at_its_own_size_changes_nothing():
    image = picture(32, 32)
    crop = RandomResizedCrop(32, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    np.testing.assert_array_equal(crop(image, np.random.default_rng(0)), image)


def test_a_flip_mirrors_columns_with_its_probability():
    image = picture()
    np.testing.assert_array_equal(
        HorizontalFlip(1.0)(image, np.random.default_rng(0)), image[:, ::-1]
    )
    flips = sum(
        HorizontalFlip()(image, np.random.default_rng(seed)) is not image for seed in range(1000)
    )
    assert abs(flips / 1000 - 0.5) < 0.05


def test_erasing_fills_one_rectangle_of_allowed_area_and_aspect_with_noise():
    image, shares, noise = np.full((60, 60, 3), 100.0, np.float32), [], []
    for seed in range(400):
        erased = RandomErasing()(image, np.random.default_rng(seed))
        changed = (erased != image).all(-1)
        if not changed.any():
            continue
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert changed.sum() == height * width
        assert math.log(0.3) - 0.15 < math.log(height / width) < math.log(1 / 0.3) + 0.15
        shares.append(height * width / 3600)
        noise.append(erased[changed].ravel())
    assert abs(len(shares) / 400 - 0.25) < 0.07
    assert min(shares) > 0.015
    assert max(shares) < 0.35
    assert (image == 100).all()
    noise = np.concatenate(noise)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), SEEDS)
def test_both_recipes_give_a_square_from_any_size_and_repeat_with_the_seed(height, width, seed):
    image = picture(height, width, seed)
    recipes = stage1_augmentation(24), stage2_augmentation(24)
    assert [recipe.dtype for recipe in recipes] == [np.float32, np.uint8]
    for recipe in recipes:
        first, second = (recipe(image, np.random.default_rng(seed)) for _ in range(2))
        assert first.shape == (24, 24, 3)
        assert first.dtype == recipe.dtype
        np.testing.assert_array_equal(first, second)


def test_stage_two_keeps_large_crops_and_colours():
    image = np.full((50, 80, 3), (200, 30, 90), np.uint8)
    expected = np.broadcast_to(image[:1, :1], (16, 16, 3))
    for seed in range(20):
        result = stage2_augmentation(16)(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(result, expected)
    box = [
        RandomResizedCrop(8, scale=(0.4, 1.0)).box(50, 80, rng=np.random.default_rng(s))
        for s in range(50)
    ]
    assert min((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in box) > 0.38 * 50 * 80


def test_a_crop_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match="expected size of at least 1, got 0"):
        stage1_augmentation(0)
