"""Encoded images to arrays: colours for photographs, indices for label maps.

Every kind of file that photographs come in gives 8-bit RGB, upright; what cannot be read gives one
`BadRecordError` (a ValueError) that names the file.

Pillow reads all of them. Most are JPEGs with nothing special about them. Those simplejpeg decodes,
to the same pixels, in two thirds to four fifths of the time; it gives up at the first irregularity,
and what to make of that is left to Pillow again.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import simplejpeg
from jaxtyping import Int32, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from ovs_jax.data.records import BadRecordError

_ORIENTATION = ExifTags.Base.Orientation
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image upright, by the orientation that the camera noted."""
_SIDEWAYS = [_TURNS[number] for number in (5, 6, 7, 8)]
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_JPEG, _NOTES, _SCAN = b"\xff\xd8", 0xE1, 0xDA
"""How a JPEG begins, and its markers of what a camera notes, such as a rotation, and of pixels."""

MAX_PIXELS = 100_000_000
"""The most pixels of an image, unless another limit is given: 300 MB once they are decoded."""
HIGHEST_MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS)
"""The highest limit that can be given; beyond it Pillow refuses an image by itself."""


def decode_image(
    data: bytes, *, name: str, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a photograph.

    Grey, palette, CMYK and 16-bit images are brought to 8-bit RGB (of 16 bits the upper 8 are
    kept), transparency is dropped, a rotation noted by the camera is applied, and of an animation
    the first frame is taken.

    Args:
      data: the encoded file.
      name: the file, for messages.
      max_pixels: an image that says it has more is refused before it is decoded.

    Returns:
      The pixels.

    Raises:
      BadRecordError: the file is empty, not an image, truncated, too large, or of a depth without
        a known range.
    """
    return Photo(data, name=name, max_pixels=max_pixels).decoded()


class Photo:
    """An encoded photograph, of a JPEG no more than the header read.

    A JPEG can be decoded at a half, a quarter or an eighth of its size, which costs a part of the
    time and reduces it without aliasing. How far depends on what is to be made of it.

    Args:
      data: the encoded file.
      name: the file, for messages.
      max_pixels: a photograph that says it has more is refused.

    Attributes:
      shape: (height, width), upright.

    Raises:
      BadRecordError: the file is empty, not an image, or too large; damage of another kind than
        JPEG shows here too.
    """

    def __init__(self, data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> None:
        self._data, self._name, self._max_pixels = data, name, max_pixels
        self._image: Image.Image | None = None
        shape = _plain_jpeg_shape(data, name, max_pixels)
        if shape is None:
            self._image = self._header()
            shape = _upright_shape(self._image)
        self.shape = shape

    def part(self, box: tuple[int, int, int, int], *, least: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes the photograph, once, and gives a part of it.

        Args:
          box: (left, top, right, bottom) in pixels of the upright photograph.
          least: the part may be smaller than its box, but a side of it that has this many pixels
            keeps as many.

        Raises:
          BadRecordError: as `decode_image`.
        """
        side = min(box[2] - box[0], box[3] - box[1])
        factor = next((n for n in (8, 4, 2) if side // n >= least), 1)
        pixels = self.decoded(factor)
        rows = _reduced(box[1], box[3], whole=self.shape[0], reduced=pixels.shape[0])
        cols = _reduced(box[0], box[2], whole=self.shape[1], reduced=pixels.shape[1])
        return pixels[rows, cols]

    def decoded(self, factor: int = 1) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes the photograph, once; a JPEG at a ``factor``-th of its size: 1, 2, 4 or 8.

        Raises:
          BadRecordError: as `decode_image`.
        """
        if self._image is None:
            pixels = _plain_jpeg_pixels(self._data, self.shape, factor=factor)
            if pixels is not None:
                return pixels
        image = self._image or self._header()
        with _named_faults(self._name):
            if factor > 1:
                image.draft(None, (image.width // factor, image.height // factor))
            image.load()
        return _colours(_upright(image), self._name)

    def _header(self) -> Image.Image:
        with _named_faults(self._name):
            image = _opened(self._data, self._name, self._max_pixels)
            if image.format != "JPEG":
                # Notes of the camera may stand behind the pixels, and Pillow, asked for them,
                # would swallow what is wrong with these.
                image.load()
            return image


def _reduced(start: int, end: int, *, whole: int, reduced: int) -> slice:
    """Where a range of an axis is once the axis has fewer pixels."""
    count = round((end - start) * reduced / whole)
    first = min(round(start * reduced / whole), reduced - count)
    return slice(first, first + count)


def take_part(
    image: UInt8[np.ndarray, "h w 3"] | Photo, box: tuple[int, int, int, int], *, least: int
) -> UInt8[np.ndarray, "part_h part_w 3"]:
    """A part of an image; of an encoded one perhaps at a smaller scale, see `Photo.part`."""
    if isinstance(image, Photo):
        return image.part(box, least=least)
    left, top, right, bottom = box
    return image[top:bottom, left:right]


def _plain_jpeg_shape(data: bytes, name: str, max_pixels: int) -> tuple[int, int] | None:
    """(height, width) of a JPEG with grey or the usual colours and no notes; None of other files.

    Raises:
      BadRecordError: it has too many pixels.
    """
    if not data.startswith(_JPEG) or _has_notes(data):
        return None
    try:
        *sides, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    height, width = (int(side) for side in sides)
    _check_pixels(width, height, name, max_pixels)
    return (height, width) if colours in ("YCbCr", "Gray") else None


def _has_notes(jpeg: bytes) -> bool:
    """Whether a camera or an editor noted something; or the file may not be what it seems."""
    place = 2
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        if jpeg[place + 1] in (_NOTES, _SCAN):
            return jpeg[place + 1] == _NOTES
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4])
    return True


def _plain_jpeg_pixels(
    data: bytes, shape: tuple[int, int], *, factor: int = 1
) -> UInt8[np.ndarray, "h w 3"] | None:
    """The pixels, of a ``factor``-th of the size; None if anything is odd about the file."""
    height, width = (-(-side // factor) for side in shape)  # rounded up, as JPEG does
    try:
        return simplejpeg.decode_jpeg(
            data, "RGB", min_height=height, min_width=width, min_factor=factor
        )
    except ValueError:
        return None


def _colours(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode in (*_SIXTEEN_BIT, "I"):
        return _grey_16_bit(np.asarray(image), name)
    if image.mode == "F":
        raise BadRecordError(name, "unknown range", "expected 8 or 16 bits a channel, got floats")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def check_image_header(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Checks what the first bytes of a photograph say, without decoding it.

    Args:
      data: the encoded file.
      name: the file, for messages.
      max_pixels: the most pixels that it may have.

    Raises:
      BadRecordError: the file is empty, not an image, or too large.
    """
    with _named_faults(name):
        _opened(data, name, max_pixels)


def checked_pixels(image: Any, *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Gives an image back if it is an array of RGB pixels.

    Args:
      image: anything.
      name: what to call it in messages.

    Raises:
      BadRecordError: it is not an array of uint8 [h, w, 3] with at least one pixel.
    """
    if not isinstance(image, np.ndarray):
        raise BadRecordError(
            name, "image of wrong kind", f"expected uint8 [h, w, 3], got {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise BadRecordError(
            name,
            "image of wrong kind",
            "expected uint8 [h, w, 3] with at least one pixel, got "
            f"{image.dtype} {list(image.shape)}",
        )
    return image


def decode_label(data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
    """Decodes a label map; of a palette image the indices count, not the colours.

    Args:
      data: the encoded file: palette, 8-bit or 16-bit grey.
      name: the file, for messages.

    Returns:
      The label of every pixel.

    Raises:
      BadRecordError: the file cannot be read, or it has several channels.
    """
    image = _open(data, name)
    if image.mode not in ("P", "L", "1", "I", *_SIXTEEN_BIT):
        raise BadRecordError(
            name,
            "label map with colours",
            f"expected one channel of class indices, got mode {image.mode}",
        )
    return np.asarray(image).astype(np.int32)


def _open(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    with _named_faults(name):
        image = _opened(data, name, max_pixels)
        image.load()
        return image


def _opened(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """An image of which only the header is read."""
    if not data:
        raise BadRecordError(name, "empty file")
    try:
        image = Image.open(BytesIO(data))
    except UnidentifiedImageError as error:
        raise BadRecordError(name, "not an image", f"it begins with {data[:8]!r}") from error
    _check_pixels(*image.size, name, max_pixels)
    return image


def _check_pixels(width: int, height: int, name: str, most: int) -> None:
    if width * height > most:
        raise BadRecordError(
            name, "too many pixels", f"expected at most {most}, got {width} x {height}"
        )


@contextmanager
def _named_faults(name: str) -> Iterator[None]:
    """Turns what Pillow raises of a file into a `BadRecordError`, and keeps its warnings quiet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that is not used here
            yield
    except BadRecordError:
        raise
    except Image.DecompressionBombError as error:
        raise BadRecordError(name, "too many pixels", str(error)) from error
    except (
        OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError,
        struct.error, zlib.error, OverflowError,
    ) as error:  # fmt: skip
        # Pillow says "truncated" in several ways, and other things of files that are damaged
        # inside.
        message = str(error)
        cut = any(word in message.lower() for word in ("truncated", "unexpected end", "not enough"))
        raise BadRecordError(
            name, "truncated image" if cut else "damaged image", message
        ) from error


def _upright_shape(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if _turn(image) in _SIDEWAYS else (height, width)


def _upright(image: Image.Image) -> Image.Image:
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `_open`
            orientation = image.getexif().get(_ORIENTATION)
    except Exception:
        # Pillow fails in many ways where the notes of the camera are damaged; the pixels are fine.
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def _grey_16_bit(values: np.ndarray, name: str) -> UInt8[np.ndarray, "h w 3"]:
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise BadRecordError(name, "unknown range", f"expected 16 bits, got up to {values.max()}")
    grey = (values.astype(np.uint32) >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
