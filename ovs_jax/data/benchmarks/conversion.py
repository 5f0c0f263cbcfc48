"""From the label ids that data sets store to class indices, by look-up tables.

A table has one entry for each stored id: the class index, an ignore label, or `UNKNOWN` for ids
that the data set does not have. Maps are converted whole, never pixel by pixel in Python.
"""

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from jaxtyping import Int32

from ovs_jax.data.images import decode_image, decode_label
from ovs_jax.data.records import BadRecordError
from ovs_jax.text.assets import asset_json

IGNORE = 255
"""The label of pixels that are not scored, in class lists of up to 255 classes."""
IGNORE_16_BIT = 65535
"""The same in longer class lists, whose label maps have 16 bits."""
UNKNOWN = -1
"""What a table holds for ids that the data set does not have."""

Table = Int32[np.ndarray, " ids"]

COCO_UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
"""Ids of COCO's ``stuffthingmaps`` (0 to 181) that stand for no class."""
COCO_THINGS = 91
"""The first id of the ``stuffthingmaps`` that is stuff and no thing."""
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The ``labelIds`` of the 19 evaluated classes of Cityscapes, in the order of the train ids."""
CITYSCAPES_LAST_ID = 33


def ignore_label(classes: int) -> int:
    """The label of pixels that are not scored in a list of so many classes."""
    return IGNORE if classes <= IGNORE else IGNORE_16_BIT


def convert(
    label: Int32[np.ndarray, "h w"], table: Table, *, name: str
) -> Int32[np.ndarray, "h w"]:
    """Looks every pixel up in a table.

    Args:
      label: stored ids.
      table: what each id becomes.
      name: the file, for messages.

    Raises:
      BadRecordError: the map has ids that the data set does not have, or no pixel.
    """
    if label.size and label.min() >= 0 and label.max() < len(table):
        converted = np.take(table, label)
        if converted.min() > UNKNOWN:
            return converted
    ids, counts = np.unique(label, return_counts=True)
    known = np.flatnonzero(table > UNKNOWN)
    unknown = ~np.isin(ids, known)
    raise BadRecordError(
        name,
        "unknown label ids",
        f"got {ids[unknown][:8].tolist()} in {counts[unknown].sum()} pixels, expected "
        f"{_ranges(known)}",
    )


def _ranges(ids: np.ndarray) -> str:
    parts = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
    text = [str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    return ", ".join(text)


def table(entries: Mapping[int, int] | Iterable[tuple[int, int]]) -> Table:
    """A table from pairs of stored id and what it becomes; all other ids are unknown."""
    entries = dict(entries)
    result = np.full(max(entries) + 1, UNKNOWN, np.int32)
    result[list(entries)] = list(entries.values())
    return result


def keep(classes: int) -> Table:
    """For labels that are stored as class indices, with the ignore label of the list's length."""
    ignored = ignore_label(classes)
    return table({**{i: i for i in range(classes)}, ignored: ignored})


def drop_zero(classes: int, *, stored_ignore: bool) -> Table:
    """For labels where 0 is not judged and 1 is the first of so many classes.

    Args:
      classes: the number of classes, without 0.
      stored_ignore: whether the data set also has the ignore label itself.
    """
    ignored = ignore_label(classes)
    entries = {0: ignored, **{i + 1: i for i in range(classes)}}
    return table({**entries, ignored: ignored} if stored_ignore else entries)


def _coco_ids() -> list[int]:
    return [i for i in range(182) if i not in COCO_UNUSED]


def coco_stuff() -> Table:
    """``stuffthingmaps`` to the 171 classes; unlabelled pixels are ignored."""
    return table({**{id_: i for i, id_ in enumerate(_coco_ids())}, 255: IGNORE})


def coco_stuff_ovsegmentor() -> Table:
    """``stuffthingmaps`` to 171 classes after a background, which is what has no label."""
    return table({**{id_: i + 1 for i, id_ in enumerate(_coco_ids())}, 255: 0})


def coco_objects() -> Table:
    """``stuffthingmaps`` to background and 80 things: everything that is no thing is background."""
    ids = _coco_ids()
    things = {id_: i + 1 for i, id_ in enumerate(ids) if id_ < COCO_THINGS}
    return table({**dict.fromkeys(ids, 0), **things, 255: 0})


def coco_objects_ovsegmentor() -> Table:
    """The conversion that OVSegmentor's scores were made with, which leaves stuff unmapped.

    Stuff becomes 81, which names no class of the list: such pixels are no part of any class's true
    area, but predictions there count in the union. Unlabelled pixels are background as in
    `coco_objects`.
    """
    objects = coco_objects()
    stuff = {id_: 81 for id_ in _coco_ids() if id_ >= COCO_THINGS}
    things = {id_: int(objects[id_]) for id_ in _coco_ids() if id_ < COCO_THINGS}
    return table({**things, **stuff, 255: 0})


def derive(stored: Table, wanted: Table) -> Table | None:
    """A table from labels that one table made to those that another makes of the same ids.

    Returns:
      The table; None where the first gives one label to ids that the second tells apart.
    """
    known = (stored != UNKNOWN) & (wanted != UNKNOWN)
    pairs = set(zip(stored[known].tolist(), wanted[known].tolist(), strict=True))
    return table(pairs) if len({first for first, _ in pairs}) == len(pairs) else None


@cache
def _cityscapes_ids() -> Table:
    every = dict.fromkeys(range(CITYSCAPES_LAST_ID + 1), IGNORE)
    classes = {id_: i for i, id_ in enumerate(CITYSCAPES_IDS)}
    return table({**every, **classes, 255: IGNORE})


def decode_cityscapes_ids(data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
    """Decodes a ``labelIds`` file of Cityscapes to train ids.

    Raises:
      BadRecordError: the file cannot be read or has other ids.
    """
    return convert(decode_label(data, name=name), _cityscapes_ids(), name=name)


@cache
def _ade_full_ids() -> Table:
    """Ids of ADE20K 2021 by name to the 847 classes; what is none of them is ignored."""
    ids = asset_json("ade847_ids.json")
    result = np.full(1 << 16, IGNORE_16_BIT, np.int32)
    result[ids] = np.arange(len(ids))
    return result


def decode_ade_full(data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
    """Decodes a ``_seg.png`` of ADE20K 2021, whose colours are ids: red / 10 * 256 + green.

    Returns:
      Indices of the 847 classes, `IGNORE_16_BIT` elsewhere.

    Raises:
      BadRecordError: the file cannot be read or its colours are no ids.
    """
    pixels = decode_image(data, name=name)
    red, green = pixels[..., 0], pixels[..., 1]
    if (red % 10).any():
        odd = np.unique(red[red % 10 != 0])[:8].tolist()
        raise BadRecordError(
            name, "colours that are no ids", f"expected red in steps of 10, got {odd}"
        )
    return convert(red.astype(np.int32) // 10 * 256 + green, _ade_full_ids(), name=name)
