"""Words in pictures: measured, wrapped and always legible."""

from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

INK = (32, 32, 36)
PAPER = (255, 255, 255)


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that Pillow carries with it.

    Raises:
      RuntimeError: Pillow was built without FreeType.
    """
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("pillow: built without FreeType, cannot write legible text")
    return found


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of a text on one line."""
    return round(font(size).getlength(text)), sum(font(size).getmetrics())


def shorten(text: str, width: int, size: int) -> str:
    """Cuts a text with an ellipsis so that it is at most ``width`` pixels wide."""
    if text_size(text, size)[0] <= width:
        return text
    while text and text_size(text + "…", size)[0] > width:
        text = text[:-1]
    return text.rstrip() + "…"


def caption_bar(text: str, *, width: int, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """A white strip with one centred line."""
    text = shorten(text, width - 4, size)
    wide, high = text_size(text, size)
    picture = Image.new("RGB", (width, high + size // 2), PAPER)
    position = ((width - wide) // 2, size // 4)
    ImageDraw.Draw(picture).text(position, text, fill=INK, font=font(size))
    return np.array(picture)


def legend(
    entries: list[tuple[str, tuple[int, int, int]]], *, width: int, size: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A white strip that names colours, in as many lines as it takes.

    Args:
      entries: a text and its RGB colour each.
      width: of the strip in pixels.
      size: of the font in pixels.
    """
    swatch, gap, high = size, size // 2, text_size("Ag", size)[1] + size // 3
    places, x, y = [], gap, gap
    for text, _ in entries:
        text = shorten(text, width - 3 * gap - swatch, size)
        wide = swatch + gap + text_size(text, size)[0] + 2 * gap
        if x > gap and x + wide - gap > width:
            x, y = gap, y + high
        places.append((text, x, y))
        x += wide
    picture = Image.new("RGB", (width, (y + high if entries else 0) + gap), PAPER)
    draw = ImageDraw.Draw(picture)
    for (text, left, top), (_, colour) in zip(places, entries, strict=True):
        box = (left, top + size // 6, left + swatch, top + size // 6 + swatch)
        draw.rounded_rectangle(box, radius=size // 5, fill=colour, outline=INK)
        draw.text((left + swatch + gap, top), text, fill=INK, font=font(size))
    return np.array(picture)
