"""Zero-shot classification of whole images, such as ImageNet."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from ovs_jax.data.records import Source
from ovs_jax.evaluation.confusion import sum_over_hosts
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.loading import decoded_image, image_count, load_ahead, naming_record
from ovs_jax.evaluation.report import Report, percent, shown
from ovs_jax.evaluation.whole_images import BATCH, CenterCrop, Seen, embed

TOP = 5
"""A class is found if it is among so many that score best."""


@dataclass(frozen=True)
class ClassificationProtocol:
    """Everything that decides a score but the model and the images.

    Attributes:
      class_list: what it is called.
      names: the class names, by class index. Names may repeat, as two of ImageNet do.
      prompt_set: what the prompts are called.
      templates: the prompts of a class.
      crop: what the model sees of an image.
    """

    class_list: str
    names: tuple[str, ...]
    prompt_set: str
    templates: tuple[str, ...]
    crop: CenterCrop

    def __post_init__(self) -> None:
        if not self.names or not self.templates:
            raise ValueError(
                "classification: expected at least one class and one prompt, got "
                f"{len(self.names)} and {len(self.templates)}"
            )

    def choices(self) -> dict[str, Any]:
        """Every choice in words and numbers, ready to be printed or stored."""
        return {
            "protocol": f"classification/{self.class_list}",
            "classes": len(self.names),
            "image": str(self.crop),
            "prompt set": f"{self.prompt_set} ({len(self.templates)})",
            "prompts": list(self.templates),
            "class embedding": "mean over the prompts, then length one",
            "score": "cosine of the whole image's embedding and the class embedding",
        }


@dataclass(frozen=True)
class ClassificationReport(Report):
    """The outcome of `classify`.

    Attributes:
      protocol: what it was made under.
      counts: for every class its images, those where it scored best, and those where it was among
        the best five.
      seconds: how long it took.
    """

    protocol: ClassificationProtocol
    counts: Int[np.ndarray, "c 3"]
    seconds: float

    @property
    def images(self) -> int:
        """How many were judged."""
        return int(self.counts[:, 0].sum())

    @property
    def top1(self) -> float:
        """Percent of the images whose class scores best."""
        return 100 * float(self.counts[:, 1].sum() / self.images)

    @property
    def top5(self) -> float:
        """Percent of the images whose class is among the best five."""
        return 100 * float(self.counts[:, 2].sum() / self.images)

    @property
    def title(self) -> str:
        """Task, class list and prompts."""
        protocol = self.protocol
        return f"classification / {protocol.class_list} / prompts {protocol.prompt_set}"

    @property
    def headline(self) -> str:
        """The mean scores, how many images, how long."""
        return (
            f"**top-1 {shown(self.top1)}** · top-5 {shown(self.top5)} · {self.images} images · "
            f"{self.seconds:.1f} s"
        )

    def choices(self) -> dict[str, Any]:
        """Those of the protocol."""
        return self.protocol.choices()

    def scores(self) -> dict[str, Any]:
        """The scores over all images."""
        return {
            "images": self.images,
            "seconds": round(self.seconds, 2),
            "top1": round(self.top1, 4),
            "top5": round(self.top5, 4),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class, in percent of its images; None where it has none."""
        return [
            {
                "class": name,
                "top1": percent(first / images if images else float("nan")),
                "top5": percent(among / images if images else float("nan")),
                "images": images,
            }
            for name, (images, first, among) in zip(
                self.protocol.names, self.counts.tolist(), strict=True
            )
        ]


def classify(
    segmenter: GroupSegmenter,
    source: Source,
    protocol: ClassificationProtocol,
    *,
    limit: int | None = None,
    progress: bool = True,
    batch_size: int = BATCH,
) -> ClassificationReport:
    """Scores a model on images with one class each.

    In a run of several processes each takes every n-th image, and all get the whole result.

    Args:
      segmenter: the model.
      source: records with ``image``, ``label_index`` and ``key``.
      protocol: all choices that decide the score.
      limit: judge only so many images, from the beginning.
      progress: whether a bar is shown.
      batch_size: images that the model sees at a time.

    Returns:
      The scores.

    Raises:
      ValueError: if there is no image, or one of them cannot be used; the message names it.
    """
    count = image_count(source, limit)
    started = time.perf_counter()
    unit = jnp.asarray(segmenter.embed_classes(protocol.names, templates=protocol.templates))
    counts = np.zeros((len(protocol.names), 3), np.int64)
    mine = range(jax.process_index(), count, jax.process_count())
    images = load_ahead(partial(_load, source, protocol), mine)
    with tqdm(total=len(mine), unit="image", disable=not progress, desc="classification") as bar:
        for embedded, truth in embed(segmenter, images, batch_size=batch_size):
            room = ((0, batch_size - len(embedded)), (0, 0))
            best = np.asarray(_best_classes(np.pad(embedded, room), unit))[: len(embedded)]
            found = best == np.asarray(truth)[:, None]
            outcome = np.stack([np.ones(len(truth)), found[:, 0], found.any(axis=1)], axis=1)
            np.add.at(counts, np.asarray(truth), outcome.astype(np.int64))
            bar.set_postfix(top1=f"{100 * counts[:, 1].sum() / counts[:, 0].sum():.1f}")
            bar.update(len(truth))
    return ClassificationReport(protocol, sum_over_hosts(counts), time.perf_counter() - started)


@jax.jit
def _best_classes(image: Float[Array, "b e"], unit: Float[Array, "c e"]) -> Int[Array, "b top"]:
    scores = jnp.einsum("be,ce->bc", image, unit, precision=jax.lax.Precision.HIGHEST)
    return jax.lax.top_k(scores, min(TOP, unit.shape[0]))[1]


def _load(source: Source, protocol: ClassificationProtocol, index: int) -> Seen[int]:
    with naming_record(index) as named:
        record = source[index]
        key = named(record)
        label = record["label_index"]
        if not isinstance(label, int | np.integer) or not 0 <= label < len(protocol.names):
            raise ValueError(
                f"label_index: expected 0 to {len(protocol.names) - 1} for class list "
                f"'{protocol.class_list}', got {label!r}"
            )
        return Seen(protocol.crop(decoded_image(record, key)), int(label))
