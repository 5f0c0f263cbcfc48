import pickle
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ovs_jax.data.images import (
    Photo,
    check_image_header,
    checked_pixels,
    decode_image,
    decode_label,
    take_part,
)
from ovs_jax.data.records import BadRecordError
from tests.data.damage import pixel_bomb

RAMP = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3


def _encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_rgb_is_given_as_it_is() -> None:
    image = decode_image(_encoded(Image.fromarray(RAMP)), name="a.png")
    np.testing.assert_array_equal(image, RAMP)
    assert image.dtype == np.uint8
    image[0, 0] = 0  # the array can be written to


def test_grey_becomes_three_equal_channels() -> None:
    grey = RAMP[..., 0]
    for picture in (Image.fromarray(grey), Image.fromarray(grey).convert("LA")):
        image = decode_image(_encoded(picture), name="a.png")
        np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=-1))


def test_of_sixteen_bits_the_upper_eight_are_kept() -> None:
    deep = (RAMP[..., 0].astype(np.uint16) << 8) + 77
    for kind in ("PNG", "TIFF"):
        image = decode_image(_encoded(Image.fromarray(deep), kind), name="a")
        np.testing.assert_array_equal(image, np.repeat(RAMP[..., :1], 3, axis=-1))


def test_transparency_is_dropped() -> None:
    alpha = np.dstack([RAMP, np.full(RAMP.shape[:2], 3, np.uint8)])
    image = decode_image(_encoded(Image.fromarray(alpha)), name="a.png")
    np.testing.assert_array_equal(image, RAMP)


def test_palette_images_show_their_colours() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    expected = np.array([[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [10, 20, 30]]])
    np.testing.assert_array_equal(decode_image(_encoded(picture), name="a.png"), expected)
    transparent = _encoded(picture, transparency=b"\x00\xff")
    np.testing.assert_array_equal(decode_image(transparent, name="a.png"), expected)


def test_cmyk_becomes_rgb() -> None:
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image = decode_image(_encoded(picture, "JPEG", quality=100), name="a.jpg")
    assert image.shape == (8, 8, 3)
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotation_noted_by_the_camera_is_applied(orientation: int) -> None:
    upright = np.zeros((40, 24, 3), np.uint8)
    upright[:8, :8] = 255  # a mark in the upper left corner
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(Image.fromarray(np.ascontiguousarray(turned)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(data, name="a.png"), upright)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_part_of_a_photo_is_that_of_the_decoded_image(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(Image.fromarray(np.tile(RAMP, (9, 7, 1))), "JPEG", exif=exif)
    photo, box = Photo(data, name="a.jpg"), (3, 5, 17, 21)
    whole = decode_image(data, name="a.jpg")
    assert photo.shape == whole.shape[:2]
    np.testing.assert_array_equal(photo.part(box, least=14), take_part(whole, box, least=14))


JPEG_KINDS = (
    {}, {"progressive": True}, {"optimize": True, "quality": 20}, {"quality": 100},
    {"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2},
)  # fmt: skip


@given(
    st.tuples(st.integers(8, 70), st.integers(8, 70)),
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.sampled_from(JPEG_KINDS),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 1000),
)
def test_a_jpeg_gives_the_pixels_that_pillow_gives(
    size: tuple[int, int], mode: str, options: dict[str, Any], factor: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    data = _encoded(Image.fromarray(noise).convert(mode), "JPEG", **options)
    picture = Image.open(BytesIO(data))
    whole = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(decode_image(data, name="a.jpg"), whole)
    picture = Image.open(BytesIO(data))
    picture.draft(None, (picture.width // factor, picture.height // factor))
    part = Photo(data, name="a.jpg").part((0, 0, size[1], size[0]), least=min(size) // factor)
    np.testing.assert_array_equal(part, np.asarray(picture.convert("RGB")))


@given(st.integers(0, 10_000), st.sampled_from(["cut", "changed", "left out", "twice"]))
def test_of_a_damaged_jpeg_is_thought_what_pillow_thinks(seed: int, damage: str) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (6, 5, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    data = bytearray(_encoded(Image.fromarray(noise), "JPEG"))
    where = int(rng.integers(len(data)))
    if damage == "cut":
        data = data[:where]
    elif damage == "changed":
        data[where] ^= int(rng.integers(1, 256))
    elif damage == "left out":
        del data[where : where + 40]
    else:
        data[where:where] = data[where : where + 40]
    try:
        expected = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        expected = None
    for decode in (
        lambda: decode_image(bytes(data), name="a.jpg"),
        lambda: Photo(bytes(data), name="a.jpg").part((0, 0, 40, 48), least=40),
    ):
        if expected is None:
            with pytest.raises(BadRecordError, match=r"a\.jpg: "):
                decode()
        elif expected.shape == (48, 40, 3):
            np.testing.assert_array_equal(decode(), expected)


@given(
    st.tuples(st.integers(16, 150), st.integers(16, 150)),
    st.integers(8, 40),
    st.sampled_from([1, 6]),
    st.integers(0, 1000),
)
def test_a_large_photo_is_decoded_no_smaller_than_its_part_is_needed(
    size: tuple[int, int], least: int, orientation: int, seed: int
) -> None:
    # Smooth, so that a reduced image shows the same colours at the same places.
    ramp = np.add.outer(np.linspace(0, 120, size[0]), np.linspace(0, 130, size[1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(ramp.astype(np.uint8)).convert("RGB")
    photo = Photo(_encoded(picture, "JPEG", exif=exif, quality=95), name="a.jpg")
    height, width = photo.shape
    rng = np.random.default_rng(seed)
    left, top = int(rng.integers(width)), int(rng.integers(height))
    right, bottom = (
        int(rng.integers(low, high)) + 1 for low, high in ((left, width), (top, height))
    )
    part = photo.part((left, top, right, bottom), least=least)
    sides = bottom - top, right - left
    factor = next((n for n in (8, 4, 2) if min(sides) // n >= least), 1)
    for found, whole in zip(part.shape, sides, strict=False):
        assert whole / factor - 0.5 <= found <= whole / factor + 1.5
        assert found >= min(whole, least)
    upright = ramp if orientation == 1 else ramp[::-1].T
    mean = upright[top:bottom, left:right].mean()
    step = 250 / min(size) * factor
    assert abs(part.mean() - mean) <= step + 2


def test_damaged_notes_of_the_camera_leave_the_photograph_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    picture = Image.fromarray(RAMP)
    whole = _encoded(picture, "WEBP", exif=exif, lossless=True)
    assert decode_image(whole, name="a.webp").shape == (4, 6, 3)
    start = whole.index(b"MM\x00\x2a")
    for damaged in (b"MM\x00\xb0", b"MM\x00\x2a\xff\xff", b"MM\x00\x2a\x00\x00\x00\x08\xff\xff"):
        data = whole[:start] + damaged + whole[start + len(damaged) :]
        np.testing.assert_array_equal(
            np.sort(decode_image(data, name="a.webp"), axis=None), np.sort(RAMP, axis=None)
        )


def test_an_array_that_is_no_image_is_named_with_what_it_is() -> None:
    assert checked_pixels(RAMP, name="a") is RAMP
    for wrong, got in (
        (RAMP[..., 0], r"uint8 \[6, 4\]"),
        (RAMP / 255, r"float64 \[6, 4, 3\]"),
        (RAMP[:0], r"uint8 \[0, 4, 3\]"),
        (None, "NoneType"),
    ):
        with pytest.raises(BadRecordError, match=f"a: image of wrong kind .* got {got}"):
            checked_pixels(wrong, name="a")


def test_one_bit_and_animated_images_are_read() -> None:
    black_white = Image.fromarray(np.eye(4, dtype=bool))
    image = decode_image(_encoded(black_white), name="a.png")
    np.testing.assert_array_equal(image[..., 1], np.eye(4) * 255)
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    animation = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(animation, name="a.gif")[0, 0], [255, 0, 0])


def test_files_that_cannot_be_read_are_named_with_the_reason() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for kind in ("PNG", "JPEG"):
        whole = _encoded(Image.fromarray(noise), kind)
        with pytest.raises(BadRecordError, match=r"cut.x: truncated image"):
            decode_image(whole[: len(whole) // 2], name="cut.x")
    with pytest.raises(BadRecordError, match=r"notes.jpg: not an image \(it begins with b'hello"):
        decode_image(b"hello world", name="notes.jpg")
    with pytest.raises(BadRecordError, match=r"void.jpg: empty file"):
        decode_image(b"", name="void.jpg")
    floats = _encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(BadRecordError, match=r"deep.tif: unknown range .* got floats"):
        decode_image(floats, name="deep.tif")


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_byte_gives_an_image_or_a_named_error(position: int, value: int) -> None:
    data = bytearray(_encoded(Image.fromarray(RAMP), "JPEG"))
    data[position % len(data)] = value
    with suppress(BadRecordError):
        assert decode_image(bytes(data), name="damaged.jpg").ndim == 3


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    data = _encoded(Image.fromarray(RAMP))
    assert decode_image(data, name="a.png", max_pixels=24).shape == (6, 4, 3)
    for check in (decode_image, check_image_header):
        with pytest.raises(BadRecordError, match=r"many pixels \(expected at most 23, got 4 x 6"):
            check(data, name="a.png", max_pixels=23)
        for width, height in ((10_001, 10_000), (60_000, 60_000)):  # the second is Pillow's too
            with pytest.raises(BadRecordError, match=r"bomb.png: too many pixels"):
                check(pixel_bomb(width, height), name="bomb.png")


def test_a_header_is_checked_without_the_pixels() -> None:
    whole = _encoded(Image.fromarray(RAMP))
    check_image_header(whole[:60], name="cut.png")
    with pytest.raises(BadRecordError, match=r"notes.jpg: not an image"):
        check_image_header(b"hello world", name="notes.jpg")


def test_labels_are_indices_whatever_the_palette() -> None:
    labels = np.array([[0, 1], [255, 20]], np.uint8)
    picture = Image.fromarray(labels, "P")
    picture.putpalette(list(range(255, -1, -1)) * 3)
    for each in (picture, Image.fromarray(labels)):
        np.testing.assert_array_equal(decode_label(_encoded(each), name="a.png"), labels)
    deep = np.array([[0, 2978], [65535, 3]], np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode_label(_encoded(Image.fromarray(deep), kind), name="a")
        np.testing.assert_array_equal(found, deep)
    assert found.dtype == np.int32


def test_a_label_map_of_colours_is_refused() -> None:
    with pytest.raises(BadRecordError, match=r"a.png: label map with colours .* got mode RGB"):
        decode_label(_encoded(Image.fromarray(RAMP)), name="a.png")


def test_a_bad_record_survives_pickle() -> None:
    error = pickle.loads(pickle.dumps(BadRecordError("a.jpg", "missing image", "gone")))
    assert (error.key, error.reason, str(error)) == (
        "a.jpg",
        "missing image",
        "a.jpg: missing image (gone)",
    )


def test_voc_palette_files_give_classes_and_borders(shared_data: Path) -> None:
    file = shared_data / "labelme_voc2011" / "SegmentationClass" / "2011_000003.png"
    labels = decode_label(file.read_bytes(), name=str(file))
    assert set(np.unique(labels)) <= {*range(21), 255}
    assert labels.shape == (338, 500)
