"""Many scenes on one page: the image, its groups, what was predicted and what is true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from ovs_jax.viz.groups import draw_groups
from ovs_jax.viz.overlay import outlines
from ovs_jax.viz.palette import colour_labels
from ovs_jax.viz.text import PAPER, caption_bar, legend

TITLES = ("image", "groups", "prediction", "truth")


@dataclass(frozen=True)
class Scene:
    """One line of a contact sheet; all arrays have the same height and width.

    Attributes:
      image: the photograph.
      groups: the group of every pixel.
      predicted: its predicted class.
      truth: its true class; numbers that name no class, such as 255, are not judged.
      title: written beside the scene; may be empty.
    """

    image: UInt8[np.ndarray, "h w 3"]
    groups: Int[np.ndarray, "h w"]
    predicted: Int[np.ndarray, "h w"]
    truth: Int[np.ndarray, "h w"]
    title: str = ""


def contact_sheet(
    scenes: Sequence[Scene],
    names: Sequence[str],
    *,
    palette: UInt8[np.ndarray, "count 3"],
    cell: int = 160,
    columns: int = 1,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws scenes in lines of four pictures with the classes that occur below.

    Args:
      scenes: at least one.
      names: one name a class.
      palette: one colour a class.
      cell: the longer side of a picture, in pixels.
      columns: scenes side by side.

    Returns:
      The page.

    Raises:
      ValueError: if there is no scene.
    """
    if not scenes:
        raise ValueError("contact sheet: expected at least one scene, got none")
    size = max(12, cell // 11)
    gap = max(4, cell // 20)
    lines = [_scene(scene, palette, cell=cell, gap=gap, size=size) for scene in scenes]
    blank = np.full((1, lines[0].shape[1], 3), PAPER, np.uint8)
    lines += [blank] * (-len(lines) % columns)
    head = np.concatenate(
        [_padded(caption_bar(t, width=cell, size=size), cell + gap) for t in TITLES], axis=1
    )
    parts = [_beside([head] * columns, 2 * gap)]
    parts += [_beside(lines[i : i + columns], 2 * gap) for i in range(0, len(lines), columns)]
    page = np.concatenate(parts)
    page = np.pad(page, ((gap, gap), (gap, 0), (0, 0)), constant_values=255)
    used = sorted({int(x) for s in scenes for y in (s.predicted, s.truth) for x in np.unique(y)})
    entries: list[tuple[str, tuple[int, int, int]]] = [
        (names[i], (int(palette[i][0]), int(palette[i][1]), int(palette[i][2])))
        for i in used
        if 0 <= i < len(names)
    ]
    return np.concatenate([page, legend(entries, width=page.shape[1], size=size)])


def _scene(
    scene: Scene, palette: UInt8[np.ndarray, "count 3"], *, cell: int, gap: int, size: int
) -> UInt8[np.ndarray, "h w 3"]:
    pictures = [
        scene.image,
        draw_groups(scene.image, scene.groups),
        _flat(scene.predicted, palette),
        _flat(scene.truth, palette),
    ]
    line = np.concatenate([_padded(_fit(p, cell), cell + gap) for p in pictures], axis=1)
    if scene.title:
        title = caption_bar(scene.title, width=line.shape[1], size=size)
        line = np.concatenate([line, title])
    return np.pad(line, ((0, gap), (0, 0), (0, 0)), constant_values=255)


def _flat(
    labels: Int[np.ndarray, "h w"], palette: UInt8[np.ndarray, "count 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    picture = colour_labels(labels, palette)
    picture[outlines(labels)] = 255
    return picture


def _fit(picture: UInt8[np.ndarray, "h w 3"], cell: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    scale = cell / max(picture.shape[:2])
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return np.array(Image.fromarray(picture).resize(size, method))


def _padded(picture: UInt8[np.ndarray, "h w 3"], width: int) -> UInt8[np.ndarray, "h w2 3"]:
    spare = width - picture.shape[1]
    return np.pad(picture, ((0, 0), (0, spare), (0, 0)), constant_values=255)


def _beside(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], gap: int) -> UInt8[np.ndarray, "h w 3"]:
    height = max(p.shape[0] for p in pictures)
    return np.concatenate(
        [
            np.pad(p, ((0, height - p.shape[0]), (0, gap), (0, 0)), constant_values=255)
            for p in pictures
        ],
        axis=1,
    )
