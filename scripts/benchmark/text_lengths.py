"""Stage 1 with its texts padded to the published 77 tokens, and to the few that a batch needs."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from benchmark import measure, training
from benchmark.cases import random_batch
from benchmark.training import Trainer
from ovs_jax.data.text_lengths import cut_texts, fitting_length, needed_length
from ovs_jax.text.entities import entity_rule
from ovs_jax.training.caption_task import caption_model
from ovs_jax.training.config import captioned
from ovs_jax.typing import Batch

FRAME = 2
"""Start and end token."""


@dataclass(frozen=True)
class Compared:
    """Times of the same batches, padded in both ways.

    Attributes:
      what: one line on the step.
      original: seconds of each batch at the published length.
      buckets: seconds of the same batches, cut.
      lengths: how many of the batches were cut to which length.
      tokens: tokens a caption, framing included, on average.
    """

    what: str
    original: measure.Times
    buckets: measure.Times
    lengths: dict[int, int]
    tokens: float

    @property
    def ratio(self) -> float:
        """Time of all batches together, cut over uncut."""
        return sum(self.buckets.seconds) / sum(self.original.seconds)


def compare(
    file: Path,
    *,
    batch: int,
    repeats: int,
    dtype: str,
    smoke: bool = False,
    overrides: tuple[str, ...] = (),
) -> Compared:
    """Times training steps on batches with the lengths of real captions, A B A B ….

    Words and signs are counted as tokens; a real vocabulary cuts rare words into several, which
    adds a token or two to a caption.

    Args:
      file: JSON, a list of captions under each key; those with entities are used, as in training.
      batch: captions a step.
      repeats: batches that are timed.
      dtype: of the step.
      smoke: whether to take the nano model.
      overrides: of the config.

    Raises:
      ValueError: there are too few captions for a batch.
    """
    listed = json.loads(file.read_text(encoding="utf-8")).values()
    rule = entity_rule("corrected", None)
    captions = [caption for several in listed for caption in several if rule.entities(caption)]
    if len(captions) < batch:
        raise ValueError(f"--captions {file}: expected at least {batch}, got {len(captions)}")
    name = training.variant("ovsegmentor/stage1:buckets", smoke=smoke)
    config = training.load(name, batch=batch, dtype=dtype, overrides=overrides)
    trainer, most = Trainer(config), captioned(config)[0].text_length
    images = random_batch(caption_model(config), config, most)

    def run(rows: Batch) -> Callable[[], None]:
        return lambda: trainer.run(trainer.place(rows))

    rng = np.random.default_rng(0)
    whole = [
        images | texts_like(list(rng.choice(captions, batch, replace=False)), images, rng)
        for _ in range(repeats)
    ]
    lengths = [fitting_length(needed_length(rows), most=most) for rows in whole]
    for length in {most, *lengths}:  # compiles, and warms up
        for _ in range(2):
            run(cut_texts(whole[lengths.index(length)] if length != most else whole[0], length))()
    seconds: dict[str, list[float]] = {"original": [], "buckets": []}
    for rows, length in zip(whole, lengths, strict=True):
        runs = {"original": run(rows), "buckets": run(cut_texts(rows, length))}
        for kind, times in measure.in_turn(runs, warm_up=0, repeats=1).items():
            seconds[kind].extend(times.seconds)
    return Compared(
        what=f"{name} training step, batch {batch}, {dtype}",
        original=measure.Times(tuple(seconds["original"])),
        buckets=measure.Times(tuple(seconds["buckets"])),
        lengths=dict(sorted(Counter(lengths).items())),
        tokens=float(np.mean([count(caption) for caption in captions])),
    )


def count(text: str) -> int:
    """Words and signs of a text as BERT tells them apart, with start and end token."""
    words = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)
    return len(words) + FRAME


def texts_like(captions: list[str], images: Batch, rng: np.random.Generator) -> dict[str, Any]:
    """Random ids with the lengths that captions, questions and answers made of them have."""
    rule = entity_rule("corrected", None)
    made = {
        "caption": captions,
        "question": [rule.question(caption, mask="mask") for caption in captions],
        "answer": [rule.answer(rule.entities(caption), rng) for caption in captions],
    }
    texts = {}
    for name, lines in made.items():
        ids = images[name]["ids"]
        kept = np.array([min(count(line), ids.shape[1]) for line in lines])
        texts[name] = {"ids": ids, "mask": np.arange(ids.shape[1]) < kept[:, None]}
    return texts
