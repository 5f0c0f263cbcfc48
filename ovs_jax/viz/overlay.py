"""Labels over a photograph: tints, outlines, names where they fit, and a legend of all classes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image, ImageDraw
from scipy import ndimage

from ovs_jax.viz.palette import colour_labels
from ovs_jax.viz.text import font, legend, text_size

SMALLEST = 384
"""Pictures are enlarged until their longer side has this many pixels: names need room."""


def blend(
    image: UInt8[np.ndarray, "h w 3"],
    labels: Int[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "count 3"],
    *,
    opacity: float = 0.55,
    untinted: int | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Tints every pixel with the colour of its label and draws lines between labels.

    Args:
      image: the photograph.
      labels: one label a pixel.
      palette: one colour a label.
      opacity: 0 leaves the photograph, 1 covers it.
      untinted: a label, such as the background, whose pixels are darkened a little instead.
    """
    colours = colour_labels(labels, palette).astype(np.float32)
    share = np.full((*labels.shape, 1), opacity, np.float32)
    if untinted is not None:
        share[labels == untinted] = opacity / 2
        colours[labels == untinted] = 0
    mixed = image * (1 - share) + colours * share
    mixed[outlines(labels)] = 255
    return mixed.round().astype(np.uint8)


def outlines(labels: Int[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels whose right or lower neighbour has another label."""
    lines = np.zeros(labels.shape, bool)
    lines[:-1] |= labels[:-1] != labels[1:]
    lines[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return lines


def enlarge(
    image: UInt8[np.ndarray, "h w 3"], *, longer_side: int = SMALLEST
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Enlarges a small picture by a whole factor, to at least this longer side."""
    factor = -(-longer_side // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    labels: Int[np.ndarray, "h w"],
    names: Sequence[str],
    *,
    palette: UInt8[np.ndarray, "count 3"],
    has_background: bool = False,
    opacity: float = 0.55,
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture that says what is where.

    Each class is named in the middle of its largest region if the name fits there, and in a legend
    below with its share of the picture. Small images are enlarged by a whole factor.

    Args:
      image: the photograph.
      labels: one class a pixel.
      names: one name a class.
      palette: one colour a class.
      has_background: whether class 0 is the background, which is darkened and not named inside.
      opacity: of the tint.

    Returns:
      The picture with the legend, at least `SMALLEST` pixels on its longer side.

    Raises:
      ValueError: if a label has no name or no colour.
    """
    if labels.size and (labels.min() < 0 or labels.max() >= min(len(names), len(palette))):
        raise ValueError(
            f"labels: expected 0 to {min(len(names), len(palette)) - 1}, "
            f"got {labels.min()} to {labels.max()}"
        )
    large = enlarge(image)
    factor = large.shape[0] // image.shape[0]
    labels = labels.repeat(factor, axis=0).repeat(factor, axis=1)
    untinted = 0 if has_background else None
    picture = blend(large, labels, palette, opacity=opacity, untinted=untinted)
    size = max(13, round(min(max(large.shape[:2]), 1600) / 38))
    picture = _write_names(picture, labels, names, palette=palette, size=size, left_out=untinted)
    shares = np.bincount(labels.ravel(), minlength=len(names)) / max(labels.size, 1)
    entries = [
        (f"{names[i]} {_percent(float(shares[i]))}", _rgb(palette[i]))
        for i in np.argsort(-shares, kind="stable").tolist()
        if shares[i] > 0
    ]
    below = legend(entries, width=max(picture.shape[1], 10 * size), size=size)
    if below.shape[1] > picture.shape[1]:
        spare = below.shape[1] - picture.shape[1]
        picture = np.pad(picture, ((0, 0), (0, spare), (0, 0)), constant_values=255)
    return np.concatenate([picture, below])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _rgb(colour: UInt8[np.ndarray, " 3"]) -> tuple[int, int, int]:
    return int(colour[0]), int(colour[1]), int(colour[2])


def _write_names(
    picture: UInt8[np.ndarray, "h w 3"],
    labels: Int[np.ndarray, "h w"],
    names: Sequence[str],
    *,
    palette: UInt8[np.ndarray, "count 3"],
    size: int,
    left_out: int | None,
) -> UInt8[np.ndarray, "h w 3"]:
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    taken: list[tuple[int, int, int, int]] = []
    areas = np.bincount(labels.ravel(), minlength=len(names))
    for label in np.argsort(-areas, kind="stable").tolist():
        if areas[label] == 0 or label == left_out:
            continue
        name = str(names[label])
        wide, high = (x + size // 2 for x in text_size(name, size))
        place = _widest_place(labels == label, wide, high)
        if place is None:
            continue
        top, left = place
        box = (left, top, left + wide, top + high)
        if any(_overlap(box, other) for other in taken):
            continue
        taken.append(box)
        draw.rounded_rectangle(
            box, radius=size // 3, fill=(24, 24, 28), outline=_rgb(palette[label]), width=2
        )
        position = (left + size // 4, top + size // 4)
        draw.text(position, name, fill=(255, 255, 255), font=font(size))
    return np.array(canvas)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _widest_place(region: Bool[np.ndarray, "h w"], wide: int, high: int) -> tuple[int, int] | None:
    """Top left corner of a box around the point deepest inside the region; None if too thin."""
    height, width = region.shape
    if wide > width or high > height:
        return None
    # Beyond the picture counts as another region, so that names keep away from its edge.
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(region, 1)))[1:-1, 1:-1]
    if depth.max() < high / 3:
        return None
    # Of the points that are about as deep, the one in their middle.
    deep = np.argwhere(depth >= 0.95 * depth.max())
    y, x = deep[np.square(deep - deep.mean(axis=0)).sum(axis=1).argmin()]
    top = int(np.clip(y - high // 2, 0, height - high))
    left = int(np.clip(x - wide // 2, 0, width - wide))
    return top, left
