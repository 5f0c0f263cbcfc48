"""Image-text retrieval: finding the captions of an image, and the image of a caption."""

import time
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from ovs_jax.data.images import checked_pixels
from ovs_jax.data.records import Source
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.loading import decoded_image, image_count, load_ahead, naming_record
from ovs_jax.evaluation.report import Report, shown
from ovs_jax.evaluation.whole_images import BATCH, CenterCrop, Seen, embed

RECALLS = (1, 5, 10)
QUERIES = 256
"""Images or captions that are compared with all candidates at a time."""


@dataclass(frozen=True)
class RetrievalProtocol:
    """Everything that decides a score but the model and the pairs.

    Attributes:
      data: what the pairs are called.
      crop: what the model sees of an image.
    """

    data: str
    crop: CenterCrop


@dataclass(frozen=True)
class RetrievalReport(Report):
    """The outcome of `retrieve`.

    Attributes:
      protocol: what it was made under.
      text_length: captions were cut at so many tokens.
      image_ranks: for every image how many captions of others came before the first of its own.
      caption_ranks: for every caption how many images came before its own.
      seconds: how long it took.
    """

    protocol: RetrievalProtocol
    text_length: int
    image_ranks: Int[np.ndarray, " i"]
    caption_ranks: Int[np.ndarray, " t"]
    seconds: float

    @property
    def title(self) -> str:
        """Task and data."""
        return f"retrieval / {self.protocol.data}"

    @property
    def headline(self) -> str:
        """The recalls at one, how much was judged, how long."""
        to_text, to_image = (shown(100 * float(np.mean(ranks < 1))) for ranks in self._ranks())
        return (
            f"**image to text R@1 {to_text} · text to image R@1 {to_image}** · "
            f"{len(self.image_ranks)} images · {len(self.caption_ranks)} captions · "
            f"{self.seconds:.1f} s"
        )

    @property
    def parts(self) -> str:
        """What JSON calls the rows."""
        return "directions"

    def choices(self) -> dict[str, Any]:
        """Every choice in words and numbers, ready to be printed or stored."""
        return {
            "protocol": f"retrieval/{self.protocol.data}",
            "images": len(self.image_ranks),
            "captions": len(self.caption_ranks),
            "image": str(self.protocol.crop),
            "caption": f"as it stands, cut at {self.text_length} tokens",
            "one image": "records with the same image",
            "score": "cosine of the whole image's embedding and the caption's",
            "found": "any caption of the image, or the image of the caption, is among the first K",
            "equal scores": "in the order of the records",
        }

    def scores(self) -> dict[str, Any]:
        """How long it took; the scores are in the rows."""
        return {"seconds": round(self.seconds, 2)}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each direction: recalls in percent, and the median rank, which begins at 1."""
        directions = ("image to text", "text to image")
        return [
            {"direction": name}
            | {f"R@{k}": round(100 * float(np.mean(ranks < k)), 4) for k in RECALLS}
            | {"median_rank": float(np.median(ranks) + 1), "queries": len(ranks)}
            for name, ranks in zip(directions, self._ranks(), strict=True)
        ]

    def _ranks(self) -> tuple[np.ndarray, np.ndarray]:
        return self.image_ranks, self.caption_ranks


def retrieve(
    segmenter: GroupSegmenter,
    source: Source,
    protocol: RetrievalProtocol,
    *,
    limit: int | None = None,
    progress: bool = True,
    batch_size: int = BATCH,
) -> RetrievalReport:
    """Scores a model on images with captions.

    Every process of a run of several does the whole.

    Args:
      segmenter: the model.
      source: records with ``image``, ``caption`` and ``key``; records with the same image are its
        several captions.
      protocol: all choices that decide the score.
      limit: take only so many records, from the beginning.
      progress: whether a bar is shown.
      batch_size: images that the model sees at a time.

    Returns:
      The scores.

    Raises:
      ValueError: if there is no record, or one of them cannot be used; the message names it.
    """
    count = image_count(source, limit)
    started = time.perf_counter()
    # First what belongs together, then every image once, where it first appears.
    pairs = list(
        tqdm(
            load_ahead(partial(_content, source), range(count)),
            total=count,
            unit="caption",
            disable=not progress,
            desc="captions",
        )
    )
    first: dict[bytes, int] = {}
    for index, (image, _) in enumerate(pairs):
        first.setdefault(image, index)
    images = _embed_images(segmenter, source, protocol, [*first.values()], batch_size, progress)
    texts = segmenter.embed_texts([caption for _, caption in pairs])
    numbers = {image: number for number, image in enumerate(first)}
    image_of = np.asarray([numbers[image] for image, _ in pairs], np.int32)
    own = np.arange(len(images), dtype=np.int32)
    return RetrievalReport(
        protocol=protocol,
        text_length=segmenter.text_length,
        image_ranks=ranks(images, own, candidates=texts, candidate_owner=image_of),
        caption_ranks=ranks(texts, image_of, candidates=images, candidate_owner=own),
        seconds=time.perf_counter() - started,
    )


def _embed_images(
    segmenter: GroupSegmenter,
    source: Source,
    protocol: RetrievalProtocol,
    indices: list[int],
    batch_size: int,
    progress: bool,
) -> Float[np.ndarray, "i e"]:
    images = load_ahead(partial(_cropped, source, protocol), indices)
    embedded = []
    with tqdm(total=len(indices), unit="image", disable=not progress, desc="images") as bar:
        for part, _ in embed(segmenter, images, batch_size=batch_size):
            embedded.append(part)
            bar.update(len(part))
    return np.concatenate(embedded)


def ranks(
    queries: Float[np.ndarray, "q e"],
    owner: Int[np.ndarray, " q"],
    *,
    candidates: Float[np.ndarray, "n e"],
    candidate_owner: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " q"]:
    """How many candidates come before the first right one, for every query.

    Args:
      queries: of length one.
      owner: the image that each query is, or belongs to.
      candidates: of length one.
      candidate_owner: the same of each candidate; right are those of the query's own image.

    Returns:
      0 where the best candidate is right. Of equal scores the earlier candidate comes first.
    """
    found = []
    for start in range(0, len(queries), QUERIES):
        part, mine = queries[start : start + QUERIES], owner[start : start + QUERIES]
        room = QUERIES - len(part)
        part, mine = np.pad(part, ((0, room), (0, 0))), np.pad(mine, (0, room))
        out = _ranks(part, mine, candidates, candidate_owner)
        found.append(np.asarray(out)[: QUERIES - room])
    return np.concatenate(found)


@jax.jit
def _ranks(
    queries: Float[Array, "q e"],
    owner: Int[Array, " q"],
    candidates: Float[Array, "n e"],
    candidate_owner: Int[Array, " n"],
) -> Int[Array, " q"]:
    scores = jnp.einsum("qe,ne->qn", queries, candidates, precision=jax.lax.Precision.HIGHEST)
    right = owner[:, None] == candidate_owner[None]
    best = jnp.argmax(jnp.where(right, scores, -jnp.inf), axis=1, keepdims=True)
    bar = jnp.take_along_axis(scores, best, axis=1)
    earlier = jnp.arange(scores.shape[1])[None] < best
    before = (scores > bar) | ((scores == bar) & earlier)
    return jnp.sum(before, axis=1, dtype=jnp.int32)


def _content(source: Source, index: int) -> tuple[bytes, str]:
    """What tells an image from others, and the caption."""
    with naming_record(index) as named:
        record = source[index]
        key = named(record)
        image, caption = record["image"], record["caption"]
        if not isinstance(caption, str) or not caption.strip():
            raise ValueError(f"caption: expected text, got {caption!r}")
        if not isinstance(image, bytes):
            image = checked_pixels(image, name=key).tobytes()
        return blake2b(image, digest_size=16).digest(), caption


def _cropped(source: Source, protocol: RetrievalProtocol, index: int) -> Seen[None]:
    with naming_record(index) as named:
        record = source[index]
        return Seen(protocol.crop(decoded_image(record, named(record))), None)
