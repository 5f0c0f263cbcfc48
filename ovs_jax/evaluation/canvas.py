"""Painting what a model said of an image's windows onto the image, tile by tile, on the device.

All shapes are fixed but two: the number of windows, rounded up to a power of two, and the number of
classes, rounded up to a multiple of 16. Images of all sizes share the few programs that remain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ovs_jax.evaluation.confusion import IGNORED, Confusion, count_pixels
from ovs_jax.evaluation.painting import class_scores, hard_shares, memberships
from ovs_jax.evaluation.sliding import Geometry, Tile, slot_count, tiles

TILES = (128, 512)
"""Sides of tiles: the small one for images that fit into it."""
CLASSES = 16
"""Class axes are filled up to a multiple of this."""
STRIPS = 8
"""A tile is labelled in this many strips, so that the scores of all classes never exist at once."""


@dataclass(frozen=True)
class Painting:
    """The windows of one image with the class scores of their groups.

    Attributes:
      maps: the share of each patch in each group of each window.
      tables: the class scores of the groups, background first if there is one.
      size: (height, width) of the image that the windows were cut from.
      new_size: (height, width) of the result.
      geometry: how the windows were cut.
      refined: refined shares of the windows' pixels in the groups, with room for a power of two of
        windows, on the device; None where every pixel belongs to the best group of ``maps``.
    """

    maps: Float[np.ndarray, "k rows cols g"]
    tables: Float[np.ndarray, "k g c"]
    size: tuple[int, int]
    new_size: tuple[int, int]
    geometry: Geometry
    refined: Float[Array, "slots window window g"] | None = None

    def tiles(self) -> Iterator[tuple[Tile, tuple[Any, ...]]]:
        """Every tile of the result with the arguments of the programs below."""
        slots = slot_count(len(self.maps))
        classes = -(-self.tables.shape[2] // CLASSES) * CLASSES
        free = slots - len(self.maps)
        maps = np.pad(self.maps, ((0, free), (0, 0), (0, 0), (0, 0)))
        # Scores are never negative, so a class that does not exist is never the best.
        missing = classes - self.tables.shape[2]
        tables = np.pad(self.tables, ((0, 0), (0, 0), (0, missing)), constant_values=-1.0)
        tables = np.pad(tables, ((0, free), (0, 0), (0, 0)))
        tile = TILES[0] if max(self.new_size) <= TILES[0] else TILES[-1]
        for piece in tiles(
            self.size, self.new_size, geometry=self.geometry, tile=tile, slots=slots
        ):
            yield piece, (maps, self.refined, tables, piece.rows, piece.cols)

    def labels(self) -> "Labels":
        """The best class, its score and the group of every pixel."""
        labels, groups = (np.zeros(self.new_size, np.int32) for _ in range(2))
        confidence = np.zeros(self.new_size, np.float32)
        for tile, arguments in self.tiles():
            found = _label_tile(*arguments)
            for out, part in zip((labels, confidence, groups), found, strict=True):
                out[tile.inside] = np.asarray(part)[: tile.height, : tile.width]
        return Labels(labels, confidence, groups)

    def scores(self) -> Float[np.ndarray, "c h w"]:
        """The scores of every class at every pixel."""
        scores = np.zeros((self.tables.shape[2], *self.new_size), np.float32)
        for tile, arguments in self.tiles():
            part = np.asarray(_score_tile(*arguments))[: tile.height, : tile.width, : len(scores)]
            scores[:, *tile.inside] = np.moveaxis(part, -1, 0)
        return scores

    def count(self, truth: Int[np.ndarray, "h w"]) -> "Counts":
        """Compares the labels with the truth, without bringing them to the host.

        Args:
          truth: as made by `confusion.encode_truth`, of the result's size.
        """
        classes = self.tables.shape[2]
        confusion, groups = Confusion.empty(classes).counts, 0
        for tile, arguments in self.tiles():
            room = arguments[2].shape[2]
            piece = truth_tile(truth, tile, classes=classes, room=room)
            counts, by_group = (np.asarray(x, np.int64) for x in _count_tile(*arguments, piece))
            rows = [*range(classes), room]
            confusion = confusion + counts[rows][:, :classes]
            groups = groups + by_group[:, rows]
        return Counts(Confusion(confusion), np.asarray(groups))


@dataclass(frozen=True)
class Labels:
    """What `Painting.labels` finds.

    Attributes:
      labels: the class of every pixel.
      confidence: its score.
      groups: the group of every pixel; window times groups a window, plus the group in the window.
    """

    labels: Int[np.ndarray, "h w"]
    confidence: Float[np.ndarray, "h w"]
    groups: Int[np.ndarray, "h w"]


@dataclass(frozen=True)
class Counts:
    """What `Painting.count` finds.

    Attributes:
      confusion: pixels by true and predicted class.
      groups: pixels by group and true class; the last column has those without a true class.
    """

    confusion: Confusion
    groups: Int[np.ndarray, "groups classes_plus_1"]

    @property
    def named_by_majority(self) -> Confusion:
        """The confusion if each group were given the class that most of its pixels have."""
        classes = self.groups.shape[1] - 1
        majority = self.groups[:, :classes].argmax(axis=1)
        counts = np.zeros((classes, classes + 1), np.int64)
        np.add.at(counts, majority, self.groups)
        return Confusion(counts.T.copy())


def truth_tile(
    truth: Int[np.ndarray, "h w"], tile: Tile, *, classes: int, room: int
) -> Int[np.ndarray, "tile tile"]:
    """The truth inside a tile; beyond the image nothing is judged.

    Pixels without a true class get the number after the room that there is for classes.
    """
    side = tile.rows.shape[1]
    piece = np.full((side, side), IGNORED, np.int32)
    inside = truth[tile.inside]
    piece[: tile.height, : tile.width] = np.where(inside == classes, room, inside)
    return piece


def tile_members(
    maps: Array, refined: Array | None, rows: Array, cols: Array
) -> Float[Array, "o p m"]:
    """The shares of a tile's pixels in all groups; see `painting.memberships`."""
    window = rows.shape[2]
    shares = hard_shares(maps, (window, window)) if refined is None else refined
    return memberships(shares, rows, cols)


def strips(members: Float[Array, "o p m"]) -> Float[Array, "strips o2 p m"]:
    """A tile in `STRIPS` parts, for ``jax.lax.map``."""
    return members.reshape(STRIPS, -1, *members.shape[1:])


@jax.jit
def _label_tile(
    maps: Array, refined: Array | None, tables: Array, rows: Array, cols: Array
) -> tuple[Int[Array, "o p"], Float[Array, "o p"], Int[Array, "o p"]]:
    members = tile_members(maps, refined, rows, cols)

    def label(strip: Array) -> tuple[Array, Array, Array]:
        scores = class_scores(strip, tables)
        best = jnp.argmax(scores, axis=-1).astype(jnp.int32)
        return best, scores.max(axis=-1), jnp.argmax(strip, axis=-1).astype(jnp.int32)

    found = jax.lax.map(label, strips(members))
    labels, confidence, groups = (x.reshape(members.shape[:2]) for x in found)
    return labels, confidence, groups


@jax.jit
def _score_tile(
    maps: Array, refined: Array | None, tables: Array, rows: Array, cols: Array
) -> Float[Array, "o p c"]:
    return class_scores(tile_members(maps, refined, rows, cols), tables)


@jax.jit
def _count_tile(
    maps: Array,
    refined: Array | None,
    tables: Array,
    rows: Array,
    cols: Array,
    truth: Int[Array, "o p"],
) -> tuple[Int[Array, "t c"], Int[Array, "m t"]]:
    labels, _, groups = _label_tile(maps, refined, tables, rows, cols)
    classes = tables.shape[2]
    return (
        count_pixels(truth, labels, classes=classes),
        count_groups(truth, groups, classes=classes, count=maps.shape[0] * maps.shape[3]),
    )


@partial(jax.jit, static_argnames=("classes", "count"))
def count_groups(
    truth: Int[Array, "o p"], groups: Int[Array, "o p"], *, classes: int, count: int
) -> Int[Array, "m t"]:
    """Counts the pixels of every group by true class, on the device.

    Args:
      truth: negative pixels are left out; ``classes`` where a pixel has no true class.
      groups: 0 to ``count - 1``.
      classes: the number of classes.
      count: the number of groups.
    """
    valid = truth >= 0
    pair = jnp.where(valid, groups * (classes + 1) + truth, 0)
    counts = jnp.zeros(count * (classes + 1), jnp.int32)
    counts = counts.at[pair.ravel()].add(valid.ravel().astype(jnp.int32))
    return counts.reshape(count, classes + 1)
