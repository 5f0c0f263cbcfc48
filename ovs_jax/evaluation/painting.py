"""From groups and class embeddings to class scores of every pixel (golden README, Segmentation).

Every pixel of a window belongs to one group and has that group's scores. Class scores of pixels are
thus a membership map (pixels by groups) times a small table (groups by classes), and everything
that is linear in the scores, averaging windows and resizing, is done to the memberships: eight maps
a window in place of one for each of up to 171 classes.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ovs_jax.interpolation import linear_matrix

TOP_CLASSES = 5
"""Only the classes ranked best for the whole image can be given to its groups."""
BackgroundRule = Literal["best_group", "fixed"]
"""How pixels become background; see `background_scores`."""
MAXIMAL_SCALE = 100.0
"""The largest inverse temperature, in training and here."""
_einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def inverse_temperature(logit_scale: Float[Array, ""]) -> Float[Array, ""]:
    """``min(exp(logit_scale), 100)``."""
    return jnp.minimum(jnp.exp(logit_scale.astype(jnp.float32)), MAXIMAL_SCALE)


def _cosine(x: Float[Array, "*b e"], unit: Float[Array, "c e"]) -> Float[Array, "*b c"]:
    x = x.astype(jnp.float32)
    length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
    return _einsum("...e,ce->...c", x / jnp.maximum(length, 1e-12), unit)


def group_scores(
    image_embedding: Float[Array, "b e"],
    group_embeddings: Float[Array, "b g e"],
    class_unit: Float[Array, "c e"],
    *,
    scale: Float[Array, ""],
    top: int = TOP_CLASSES,
) -> Float[Array, "b g c"]:
    """How well each class describes each group.

    Args:
      image_embedding: projected whole images, of any length.
      group_embeddings: projected groups, of any length.
      class_unit: class embeddings of length one.
      scale: the inverse temperature, see `inverse_temperature`.
      top: how many classes, those ranked best for the whole image, can be given to groups.

    Returns:
      The softmax over all classes times the softmax over the top ones; 0 for the others.
    """
    classes = class_unit.shape[0]
    _, best = jax.lax.top_k(_cosine(image_embedding, class_unit), min(top, classes))
    kept = jax.nn.one_hot(best, classes, dtype=bool).any(axis=1)[:, None, :]
    logits = _cosine(group_embeddings, class_unit) * scale
    among_top = jax.nn.softmax(jnp.where(kept, logits, -jnp.inf), axis=-1)
    return jax.nn.softmax(logits, axis=-1) * among_top


def background_scores(
    scores: Float[Array, "b g c"], thresholds: Float[Array, " t"], *, rule: BackgroundRule
) -> Float[Array, "b g t"]:
    """The background's score of every group, for each of some thresholds.

    Args:
      scores: the class scores of groups.
      thresholds: from 0 to 1.
      rule: with ``best_group`` the background scores 1 for the groups whose best class is below
        ``min(threshold, best score of any group of the window)``, else 0: the best group of a
        window is never background. With ``fixed`` it scores the threshold itself everywhere.

    Returns:
      Scores that never fall as the threshold rises.
    """
    if rule == "fixed":
        return jnp.broadcast_to(thresholds[None, None], (*scores.shape[:2], len(thresholds)))
    best = scores.max(axis=-1, keepdims=True)
    bar = jnp.minimum(thresholds[None, None], best.max(axis=1, keepdims=True))
    return (best < bar).astype(scores.dtype)


def add_background(
    scores: Float[Array, "b g c"],
    threshold: Float[Array, ""] | float,
    *,
    rule: BackgroundRule = "best_group",
) -> Float[Array, "b g c_plus_1"]:
    """Puts the background before the classes; see `background_scores`."""
    thresholds = jnp.asarray(threshold, jnp.float32)[None]
    return jnp.concatenate([background_scores(scores, thresholds, rule=rule), scores], axis=-1)


def upsample_maps(
    maps: Float[Array, "b rows cols g"], size: tuple[int, int]
) -> Float[Array, "b h w g"]:
    """Resizes group maps bilinearly from patches to pixels (half-pixel centres, no
    antialiasing).
    """
    rows = linear_matrix(maps.shape[1], size[0], align_corners=False)
    cols = linear_matrix(maps.shape[2], size[1], align_corners=False)
    down = _einsum("yr,brcg->bycg", rows, maps.astype(jnp.float32))
    return _einsum("xc,bycg->byxg", cols, down)


def pixel_groups(maps: Float[Array, "b rows cols g"], size: tuple[int, int]) -> Int[Array, "b h w"]:
    """The group that has the largest share of each pixel."""
    return jnp.argmax(upsample_maps(maps, size), axis=-1)


def paint(groups: Int[Array, "b h w"], scores: Float[Array, "b g c"]) -> Float[Array, "b h w c"]:
    """Gives every pixel the scores of its group."""
    return jax.vmap(lambda group, table: table[group])(groups, scores)


def rescale(
    scores: Float[Array, "b h w c"], size: tuple[int, int]
) -> Float[Array, "b new_h new_w c"]:
    """Resizes class scores bilinearly (half-pixel centres, no antialiasing)."""
    return upsample_maps(scores, size)


def hard_shares(
    maps: Float[Array, "k rows cols g"], size: tuple[int, int]
) -> Float[Array, "k h w g"]:
    """1 where a pixel belongs to a group, else 0."""
    return jax.nn.one_hot(pixel_groups(maps, size), maps.shape[-1], dtype=jnp.float32)


def memberships(
    shares: Float[Array, "k window window g"],
    rows: Float[Array, "k o window"],
    cols: Float[Array, "k p window"],
) -> Float[Array, "o p m"]:
    """The share of every output pixel in every group of every window.

    Args:
      shares: the share of every pixel of the windows of one image in each group, such as
        `hard_shares`.
      rows: for every window the matrix from its rows to those of the output, from `sliding.tiles`.
      cols: the same for columns.

    Returns:
      ``m = k * g`` shares a pixel, groups fastest; they sum to one inside the output.
    """
    members = _einsum("koy,kyxg->koxg", rows, shares)
    members = _einsum("kpx,koxg->opkg", cols, members)
    return members.reshape(*members.shape[:2], -1)


def class_scores(
    members: Float[Array, "o p m"], scores: Float[Array, "k g c"]
) -> Float[Array, "o p c"]:
    """The class scores of every output pixel: memberships times the groups' scores."""
    return _einsum("opm,mc->opc", members, scores.reshape(-1, scores.shape[-1]))
