"""From masks and their classes to a class for every pixel, tile by tile, on the device.

The score of a class at a pixel is the sum over masks of the mask's score for the class times the
mask's probability there (ZegFormer, section 3.1). Resizing scores is linear, so it is done to the
masks, of which there are fewer: then every pixel is one product of matrices, and scores of all
classes exist for a strip of pixels only. One program serves images of all sizes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.evaluation.canvas import Labels
from ovs_jax.evaluation.confusion import IGNORED, count_pixels
from ovs_jax.evaluation.mask_tiles import TILE, Span, spans
from ovs_jax.evaluation.regions import einsum

CLASSES = 16
"""Class axes are filled up to a multiple of this."""
STRIPS = 4
"""A tile is labelled in this many strips, so that the scores of all classes never exist at once."""
_SEEN, _UNSEEN, _NONE = 0, 1, 2


@dataclass(frozen=True)
class MaskPainting:
    """The masks of one image with their classes.

    Attributes:
      logits: of the masks, on the grid of the model.
      mask_scores: how much each mask speaks for each class, see `proposals.mask_classes`.
      unseen: which classes were not trained.
      padded: (height, width) of the image that the model saw.
      size: the same without padding, which stands at the bottom and on the right.
      new_size: (height, width) of the result.
      gamma: what is taken from the scores of seen classes, after all resizing (calibrated
        stacking).
      background: pixels whose best class scores below this become class 0, a background before
        all others; None without one.
      exclusive: whether the masks share out every pixel (softmax) in place of being judged each on
        its own (sigmoid).
    """

    logits: Float[np.ndarray, "q rows cols"]
    mask_scores: Float[np.ndarray, "q c"]
    unseen: Bool[np.ndarray, " c"]
    padded: tuple[int, int]
    size: tuple[int, int]
    new_size: tuple[int, int]
    gamma: float = 0.0
    background: float | None = None
    exclusive: bool = False

    def __post_init__(self) -> None:
        if not all(0 < n <= p for n, p in zip(self.size, self.padded, strict=True)):
            raise ValueError(
                f"size: expected 1 to the {self.padded} of the padded image, got {self.size}"
            )

    def labels(self) -> Labels:
        """The best class of every pixel; of equal ones the first.

        Returns:
          Classes, their scores (calibration included; not bounded by one, as masks overlap) and, as
          groups, the mask with the largest share in the best score of any class.
        """
        labels, masks = (np.zeros(self.new_size, np.int32) for _ in range(2))
        confidence = np.zeros(self.new_size, np.float32)
        for rows, cols, tile in self._tiles():
            found = _label_tile(tile, np.float32(self.gamma))
            for out, part in zip((labels, confidence, masks), found, strict=True):
                out[rows.inside, cols.inside] = np.asarray(part)[: rows.count, : cols.count]
        if self.background is not None:
            beyond = confidence < self.background
            labels = np.where(beyond, 0, labels + 1).astype(np.int32)
            confidence = np.where(beyond, np.float32(1), confidence)
        return Labels(labels, confidence, masks)

    def scores(self) -> Float[np.ndarray, "c h w"]:
        """The scores of every class at every pixel; that of a background is its threshold."""
        classes = self.mask_scores.shape[1]
        out = np.zeros((classes, *self.new_size), np.float32)
        for rows, cols, tile in self._tiles():
            part = np.asarray(_score_tile(tile))[: rows.count, : cols.count, :classes]
            out[:, rows.inside, cols.inside] = part.transpose(2, 0, 1)
        out -= np.where(self.unseen, 0.0, self.gamma).astype(np.float32)[:, None, None]
        if self.background is None:
            return out
        return np.pad(out, ((1, 0), (0, 0), (0, 0)), constant_values=self.background)

    def count(
        self, truth: Int[np.ndarray, "h w"], *, gammas: Sequence[float] = (0.0,)
    ) -> Int[np.ndarray, "s rows classes"]:
        """Compares with the truth at every calibration, in one pass.

        Args:
          truth: as made by `confusion.encode_truth`, at the size of the result.
          gammas: in place of the painting's own.

        Returns:
          The counts of a `confusion.Confusion` for each.

        Raises:
          ValueError: the truth has another size.
        """
        if truth.shape != self.new_size:
            raise ValueError(f"truth: expected {self.new_size} pixels, got {truth.shape}")
        classes = self.mask_scores.shape[1]
        room = -(-classes // CLASSES) * CLASSES
        truth = np.where(truth == classes, room, truth).astype(np.int32)
        counts: Any = 0
        for rows, cols, tile in self._tiles():
            piece = np.full((TILE, TILE), IGNORED, np.int32)
            piece[: rows.count, : cols.count] = truth[rows.inside, cols.inside]
            found = _count_tile(tile, piece, np.asarray(gammas, np.float32))
            counts = counts + np.asarray(found, np.int64)
        return counts[:, [*range(classes), room]][..., :classes]

    def _tiles(self) -> Iterator[tuple[Span, Span, "_Tile"]]:
        """Every tile of the result, with what it is made of."""
        tile = _ExclusiveTile if self.exclusive else _Tile
        missing = -self.mask_scores.shape[1] % CLASSES
        scores = np.pad(np.asarray(self.mask_scores, np.float32), ((0, 0), (0, missing)))
        kinds = np.pad(
            np.where(self.unseen, _UNSEEN, _SEEN), (0, missing), constant_values=_NONE
        ).astype(np.int32)
        axes = [
            list(spans(cells, padded=padded, size=size, new_size=new_size))
            for cells, padded, size, new_size in zip(
                self.logits.shape[1:], self.padded, self.size, self.new_size, strict=True
            )
        ]
        window = [axis[0].up.shape[1] for axis in axes]
        logits = np.pad(
            np.asarray(self.logits, np.float32), ((0, 0), (0, window[0]), (0, window[1]))
        )
        for rows in axes[0]:
            for cols in axes[1]:
                part = logits[
                    :, rows.cell : rows.cell + window[0], cols.cell : cols.cell + window[1]
                ]
                yield rows, cols, tile(part, scores, kinds, rows.up, cols.up, rows.out, cols.out)


class _Tile(NamedTuple):
    """What a tile of the result is made of.

    Attributes:
      logits: the part of the masks' logits.
      scores: of each mask for each class.
      kinds: whether a class is seen, unseen or none at all.
      up_rows: from logits to the seen image, see `mask_tiles.Span`.
      up_cols: the same along the other axis.
      rows: from there to the result.
      cols: the same along the other axis.
    """

    logits: Float[Any, "q m n"]
    scores: Float[Any, "q c"]
    kinds: Int[Any, " c"]
    up_rows: Float[Any, "y m"]
    up_cols: Float[Any, "x n"]
    rows: Float[Any, "o y"]
    cols: Float[Any, "p x"]

    def shares(self) -> Float[Array, "strips pixels q"]:
        """The probability of every mask at every pixel, in strips of pixels."""
        full = einsum("ym,xn,qmn->qyx", self.up_rows, self.up_cols, self.logits)
        shares = einsum("oy,px,qyx->opq", self.rows, self.cols, self.memberships(full))
        return shares.reshape(STRIPS, -1, self.logits.shape[0])

    def memberships(self, logits: Float[Array, "q y x"]) -> Float[Array, "q y x"]:
        """The probability of every mask at the pixels of the seen image."""
        return jax.nn.sigmoid(logits)

    def contest(self, strip: Float[Array, "pixels q"]) -> tuple[Array, Array, Array, Array]:
        """The best seen class of pixels with its score, and the best unseen class with its."""
        at_pixels = einsum("pq,qc->pc", strip, self.scores)
        return *_best(at_pixels, self.kinds == _SEEN), *_best(at_pixels, self.kinds == _UNSEEN)


class _ExclusiveTile(_Tile):
    """A tile whose masks share out every pixel."""

    def memberships(self, logits: Float[Array, "q y x"]) -> Float[Array, "q y x"]:
        return jax.nn.softmax(logits, axis=0)


def _best(scores: Array, allowed: Array) -> tuple[Array, Array]:
    """The best allowed class of pixels and its score, -inf where there is none."""
    masked = jnp.where(allowed[None], scores, -jnp.inf)
    return jnp.argmax(masked, axis=-1).astype(jnp.int32), masked.max(axis=-1)


def _settle(contest: tuple[Array, Array, Array, Array], gamma: Array) -> tuple[Array, Array]:
    """The winner of the best seen and the best unseen class, and its score."""
    seen, seen_score, unseen, unseen_score = contest
    seen_score = seen_score - gamma
    wins = (seen_score > unseen_score) | ((seen_score == unseen_score) & (seen < unseen))
    return jnp.where(wins, seen, unseen), jnp.maximum(seen_score, unseen_score)


@jax.jit
def _label_tile(
    tile: _Tile, gamma: Float[Any, ""]
) -> tuple[Int[Array, "o p"], Float[Array, "o p"], Int[Array, "o p"]]:
    top = jnp.where(tile.kinds[None] == _NONE, -jnp.inf, tile.scores).max(axis=1)

    def label(strip: Array) -> tuple[Array, Array, Array]:
        labels, confidence = _settle(tile.contest(strip), gamma)
        return labels, confidence, jnp.argmax(strip * top[None], axis=-1).astype(jnp.int32)

    shape = tile.rows.shape[0], tile.cols.shape[0]
    labels, confidence, masks = jax.lax.map(label, tile.shares())
    return labels.reshape(shape), confidence.reshape(shape), masks.reshape(shape)


@jax.jit
def _score_tile(tile: _Tile) -> Float[Array, "o p c"]:
    found = jax.lax.map(lambda strip: einsum("pq,qc->pc", strip, tile.scores), tile.shares())
    return found.reshape(tile.rows.shape[0], tile.cols.shape[0], -1)


@jax.jit
def _count_tile(
    tile: _Tile, truth: Int[Any, "o p"], gammas: Float[Any, " s"]
) -> Int[Array, "s t c"]:
    contest = jax.lax.map(tile.contest, tile.shares())

    def at(gamma: Array) -> Array:
        labels, _ = _settle(contest, gamma)
        return count_pixels(truth, labels.reshape(truth.shape), classes=tile.scores.shape[1])

    return jax.lax.map(at, gammas)
