"""Cross-image mask consistency (OVSegmentor §3.4; steps and constants as in the golden README).

The maps of a momentum encoder on a partner image teach the maps that the queries of an image draw
on that partner. Maps live on the patch grid and are compared on the pixel grid. Upsampling is
linear, so with the QR decomposition ``A = Q R`` of its matrix all lengths and distances are those
of the small map ``R x``: matching never leaves the patch grid. The dice needs pixels, and visits
one group of all images at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.interpolation import linear_matrix
from ovs_jax.losses.matching import match_maps

TARGET_SHARE = 0.6
"""A pixel belongs to a target where its sigmoid reaches this share of the map's largest."""
FLAT = 1e-6
"""A map whose range is below this share of its size is constant up to rounding."""
Match = Callable[[Float[Array, "b g g"]], Int[Array, "b g"]]
_einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MaskSteps:
    """Every intermediate result of the loss, for inspection and parity.

    Attributes:
      cost: Euclidean distance of each predicted (row) and target map (column), both of length one.
      assignment: the target map matched to each predicted one.
      predicted: the predicted maps on the pixel grid, stretched to 0..1.
      target: 1.0 where a pixel belongs to the matched target, else 0.0.
      target_margin: distance of each pixel's sigmoid to its threshold.
      dice: the dice loss of each image.
    """

    cost: Float[Array, "b g g"]
    assignment: Int[Array, "b g"]
    predicted: Float[Array, "b g h w"]
    target: Float[Array, "b g h w"]
    target_margin: Float[Array, "b g h w"]
    dice: Float[Array, " b"]


def mask_consistency(
    predicted: Float[Array, "b g n"],
    target: Float[Array, "b g n"],
    *,
    detached: Bool[Array, "b k"],
    grid: tuple[int, int],
    size: int,
    reduction: Literal["sum", "mean"] = "sum",
    match: Match = match_maps,
) -> Float[Array, ""]:
    """The mask consistency loss of a batch.

    A constant predicted map counts as empty (its stretch would be 0/0). A map that is not finite
    makes the loss NaN, so that the training loop sees it.

    Args:
      predicted: raw query-key products on the partner's patches; the only input that gets a
        gradient.
      target: raw query-key products of the momentum encoder.
      detached: the predicted maps that get no gradient, for the first ``k <= g`` of them (the
        published model ranks the groups of the last stage but compares the maps of the first).
      grid: rows and columns of the patch grid, ``rows * columns == n``.
      size: side of the square pixel grid.
      reduction: whether images are summed (the published scale) or averaged.
      match: the matching; under a mesh, one that is mapped over the batch shards.

    Returns:
      The dice losses of the images, summed or averaged, divided by the number of groups.

    Raises:
      ValueError: if ``n`` is not the size of the grid, or more maps are detached than there are.
    """
    predicted, target = _on_grid(predicted, target, detached=detached, grid=grid)
    assignment = match(matching_cost(predicted, target, size=size))
    dice = _dice(predicted, _matched(target, assignment), size=size)
    total = jnp.sum(dice) if reduction == "sum" else jnp.mean(dice)
    return total / predicted.shape[1]


def mask_consistency_steps(
    predicted: Float[Array, "b g n"],
    target: Float[Array, "b g n"],
    *,
    detached: Bool[Array, "b k"],
    grid: tuple[int, int],
    size: int,
) -> MaskSteps:
    """What `mask_consistency` computes on the way, with all pixel maps kept in memory."""
    predicted, target = _on_grid(predicted, target, detached=detached, grid=grid)
    cost = matching_cost(predicted, target, size=size)
    assignment = match_maps(cost)
    matched = _matched(target, assignment)
    pixels = upsample(matched, size)
    return MaskSteps(
        cost=cost,
        assignment=assignment,
        predicted=stretch(upsample(predicted, size)),
        target=binarize(pixels),
        target_margin=jnp.abs(_above_threshold(pixels)),
        dice=_dice(predicted, matched, size=size),
    )


def least_agreeing_groups(
    groups: Float[Array, "b g e"], entity: Float[Array, "b e"], *, fraction: float = 0.5
) -> Bool[Array, "b g"]:
    """Marks the groups whose embeddings agree least with the entity that two images share.

    Args:
      groups: projected group embeddings, not normalised.
      entity: projected embedding of the shared entity's prompt, not normalised.
      fraction: the share of groups to mark, rounded down.

    Returns:
      True for the ``int(g * fraction)`` groups of smallest dot product; of equal ones the first.
    """
    agreement = _einsum("bge,be->bg", groups.astype(jnp.float32), entity.astype(jnp.float32))
    rank = jnp.argsort(jnp.argsort(jax.lax.stop_gradient(agreement), axis=1), axis=1)
    return rank < int(groups.shape[1] * fraction)


def upsample(maps: Float[Array, "*batch rows cols"], size: int) -> Float[Array, "*batch h w"]:
    """Resizes maps bilinearly to a square of pixels, corner on corner (align_corners=True)."""
    rows, cols = maps.shape[-2:]
    down = _einsum("yr,...rc->...yc", linear_matrix(rows, size, align_corners=True), maps)
    return _einsum("xc,...yc->...yx", linear_matrix(cols, size, align_corners=True), down)


def matching_cost(
    predicted: Float[Array, "b g rows cols"], target: Float[Array, "b g rows cols"], *, size: int
) -> Float[Array, "b g g"]:
    """Euclidean distance of upsampled maps of length one, taken on the patch grid; no gradient.

    Differences are squared and summed as they are: ``2 - 2 cos`` would lose small distances to
    rounding.
    """
    first = _isometric(jax.lax.stop_gradient(predicted), size)[:, :, None]
    second = _isometric(jax.lax.stop_gradient(target), size)[:, None, :]
    return jnp.sqrt(jnp.sum(jnp.square(first - second), axis=-1))


def _isometric(maps: Float[Array, "b g rows cols"], size: int) -> Float[Array, "b g n"]:
    """Small maps that have the angles and relative lengths of the upsampled ones, at length one."""
    b, g, rows, cols = maps.shape
    # The largest entry is divided out first, so that no square overflows.
    largest = jnp.max(jnp.abs(maps), axis=(2, 3), keepdims=True)
    maps = maps / jnp.where(largest > 0, largest, 1.0)
    left, right = (
        np.linalg.qr(linear_matrix(points, size, align_corners=True), mode="r")
        for points in (rows, cols)
    )
    flat = _einsum("yr,xc,bgrc->bgyx", left, right, maps).reshape(b, g, -1)
    length = jnp.sqrt(jnp.sum(jnp.square(flat), axis=-1, keepdims=True))
    return flat / jnp.where(length > 0, length, 1.0)


def stretch(maps: Float[Array, "*batch h w"]) -> Float[Array, "*batch h w"]:
    """Maps each map's least value to 0 and its largest to 1; a constant map to 0."""
    low = jnp.min(maps, axis=(-2, -1), keepdims=True)
    span = jnp.max(maps, axis=(-2, -1), keepdims=True) - low
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(maps), axis=(-2, -1), keepdims=True))
    flat = span <= FLAT * size
    return jnp.where(flat, 0.0, (maps - low) / jnp.where(flat, 1.0, span))


def _above_threshold(maps: Float[Array, "*batch h w"]) -> Float[Array, "*batch h w"]:
    share = jax.nn.sigmoid(maps)
    return share - TARGET_SHARE * jnp.max(share, axis=(-2, -1), keepdims=True)


def binarize(maps: Float[Array, "*batch h w"]) -> Float[Array, "*batch h w"]:
    """1.0 where a pixel's sigmoid is at least 0.6 of its map's largest, else 0.0; NaN stays."""
    above = _above_threshold(maps)
    return jnp.where(jnp.isnan(above), above, (above >= 0).astype(maps.dtype))


def _dice(
    predicted: Float[Array, "b g rows cols"],
    target: Float[Array, "b g rows cols"],
    *,
    size: int,
) -> Float[Array, " b"]:
    """Dice loss over all groups and pixels of each image together, smoothed by one.

    A scan over groups holds the pixels of one group at a time, recomputed for the gradient. It
    leaves the batch axis whole, so that a sharded batch stays where it is.
    """

    @jax.checkpoint
    def add(sums: Float[Array, "3 b"], group: tuple[Array, Array]) -> tuple[Array, None]:
        p = stretch(upsample(group[0], size))
        t = binarize(upsample(group[1], size))
        return sums + jnp.stack([jnp.sum(x, axis=(1, 2)) for x in (p * t, p, t)]), None

    groups = (jnp.moveaxis(predicted, 1, 0), jnp.moveaxis(target, 1, 0))
    sums, _ = jax.lax.scan(add, jnp.zeros((3, predicted.shape[0]), jnp.float32), groups)
    return 1.0 - (2.0 * sums[0] + 1.0) / (sums[1] + sums[2] + 1.0)


def _matched(
    target: Float[Array, "b g rows cols"], assignment: Int[Array, "b g"]
) -> Float[Array, "b g rows cols"]:
    return jnp.take_along_axis(target, assignment[:, :, None, None], axis=1)


def _on_grid(
    predicted: Float[Array, "b g n"],
    target: Float[Array, "b g n"],
    *,
    detached: Bool[Array, "b k"],
    grid: tuple[int, int],
) -> tuple[Float[Array, "b g rows cols"], Float[Array, "b g rows cols"]]:
    """Both kinds of maps in float32 on the patch grid, cut from the gradient where they must be."""
    b, g, n = predicted.shape
    if grid[0] * grid[1] != n:
        raise ValueError(f"mask_consistency: expected {grid[0]} x {grid[1]} patches a map, got {n}")
    if detached.shape[1] > g:
        raise ValueError(
            f"mask_consistency: expected at most {g} detached flags, got {detached.shape[1]}"
        )
    cut = jnp.pad(detached, ((0, 0), (0, g - detached.shape[1])))[:, :, None]
    predicted = jnp.where(cut, jax.lax.stop_gradient(predicted), predicted)
    shape = (b, g, *grid)
    return (
        predicted.astype(jnp.float32).reshape(shape),
        jax.lax.stop_gradient(target).astype(jnp.float32).reshape(shape),
    )
