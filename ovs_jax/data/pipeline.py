"""The training input: an endless iterator of batches that can be saved, restored and read ahead.

Batches are functions of their step (`ovs_jax.data.batches`); Grain builds them ahead of time in
threads or in worker processes. The state of the stream is little more than the next step, so a run
can be resumed with another number of workers and sees the same batches. With another number of
processes it does if it keeps its number of slices (`ovs_jax.data.order`).

Nothing here imports JAX. (Grain does where JAX is installed, in its workers too; it also runs
without.)
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import grain
from absl import flags

from ovs_jax.data.augment import Recipe, stage1_augmentation, stage2_augmentation
from ovs_jax.data.batches import (
    ENTITY_FIELDS,
    Augmentation,
    BatchBuilder,
    BuiltBatch,
)
from ovs_jax.data.mixture import ImageTextSet, Mixture, with_entities
from ovs_jax.data.pairing import EntityIndex
from ovs_jax.data.pipeline_config import AUGMENTATIONS, PipelineConfig, StreamConfig, one_of
from ovs_jax.data.records import Source
from ovs_jax.data.square import CenteredSquare
from ovs_jax.data.text_lengths import cut_to_fit
from ovs_jax.text.entities import EntityVocabulary, entity_rule
from ovs_jax.text.tagged_nouns import require_tagger
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.typing import Batch

_LAST_STEP = 2**31 - 1
_JUDGED_AFTER = 1000
_log = logging.getLogger(__name__)


@runtime_checkable
class Builder(Protocol):
    """Builds the batch of a step, as `BatchBuilder` does.

    Attributes:
      mixture: which record stands where.
      seed: of all chance.
      fields: the entries of a batch, in order.
      slots: the slots of the global batch that this process builds.
    """

    @property
    def mixture(self) -> Mixture: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102

    @property
    def fields(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def slots(self) -> range: ...  # noqa: D102

    def __call__(self, step: int) -> BuiltBatch: ...  # noqa: D102


class TrainingBatches(grain.DatasetIterator[Batch]):
    """An endless iterator of batches; `grain.checkpoint.CheckpointSave` and `...Restore` take it.

    Attributes:
      records: how many records the stream draws from.
      step: the step of the next batch.
      seen: slots that this process has filled.
      bad: how many records it passed over, by reason.
    """

    def __init__(
        self,
        builder: Builder,
        config: StreamConfig,
        *,
        finish: Callable[[Batch], Batch] | None = None,
    ):
        """Begins at step 0.

        Args:
          builder: of the batches.
          config: how they are drawn.
          finish: what is done with every batch in the end, in this process and in order.
        """
        super().__init__()
        self.records = builder.mixture.records
        self.step = 0
        self.seen = 0
        self.bad: Counter[str] = Counter()
        self._builder = builder
        self._config = config
        self._finish = finish
        self._ahead: grain.DatasetIterator[BuiltBatch] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the records."""
        return self._builder.mixture.steps_per_epoch

    def __next__(self) -> Batch:
        """The batch of the next step.

        Raises:
          ValueError: too large a share of the records cannot be used.
        """
        self._assert_not_closed()
        batch, bad = next(self._start())
        self.step += 1
        self.seen += len(self._builder.slots)
        if bad:
            self._count(bad)
        batch = {name: batch[name] for name in self._builder.fields}  # workers sort them
        return batch if self._finish is None else self._finish(batch)

    def get_state(self) -> dict[str, Any]:
        """What `set_state` needs, as JSON values."""
        return {
            "step": self.step,
            "seen": self.seen,
            "bad": dict(self.bad),
            "stream": self._stream(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to where the stream was when `get_state` was called.

        Raises:
          ValueError: the state is of another stream, whose batches this one cannot continue.
        """
        saved, own = state["stream"], self._stream()
        if saved != own:
            cut = {name: own[name] for name in ("slices", "shares")}
            if saved["slices"] != own["slices"] and saved | cut == own:
                raise ValueError(
                    f"input stream: the saved run cut its data into {saved['slices']} slices, this "
                    f"one into {own['slices']}, by default one a process; resume with "
                    f"data.slices={saved['slices']} to see the same batches"
                )
            raise ValueError(
                f"input stream: expected the state of a stream with {self._stream()}, got one with "
                f"{state['stream']}; resume with the same data, batch size and seed"
            )
        self._stop()
        self.step, self.seen = int(state["step"]), int(state["seen"])
        self.bad = Counter(state["bad"])

    def start_prefetch(self) -> None:
        """Begins to build batches before the first is asked for."""
        self._start().start_prefetch()

    def close(self) -> None:
        """Ends workers and threads; the iterator cannot be used any more."""
        self._stop()
        if self.bad:
            _log.info("passed over %d records: %s", self.bad.total(), dict(self.bad))
        super().close()

    def _stream(self) -> dict[str, Any]:
        mixture = self._builder.mixture
        return {
            "records": [stream.order.records for stream in mixture.streams],
            "shares": list(mixture.shares),
            "slices": mixture.slices,
            "batch_size": self._config.batch_size,
            "seed": self._builder.seed,
        }

    def _start(self) -> grain.DatasetIterator[BuiltBatch]:
        if self._ahead is None:
            config = self._config
            steps = grain.MapDataset.range(self.step, _LAST_STEP).map(self._builder)
            options = grain.ReadOptions(
                num_threads=min(config.threads, config.prefetch),
                prefetch_buffer_size=config.prefetch if config.threads else 0,
            )
            ahead = steps.to_iter_dataset(options)
            if config.workers:
                if not flags.FLAGS.is_parsed():
                    flags.FLAGS.mark_as_parsed()  # the workers get a copy of parsed flags
                ahead = ahead.mp_prefetch(
                    grain.MultiprocessingOptions(
                        num_workers=config.workers, per_worker_buffer_size=config.prefetch
                    )
                )
            self._ahead = iter(ahead)
        return self._ahead

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _count(self, bad: list[tuple[str, str]]) -> None:
        for key, reason in bad:
            self.bad[reason] += 1
            _log.warning("step %d: passed over %s: %s", self.step - 1, key, reason)
        total = self.bad.total()
        share = total / (self.seen + total)
        # One bad record of the first ten proves nothing; of a small data set, a whole pass does.
        enough = self.seen >= min(_JUDGED_AFTER, self.records // self._config.process_count)
        if enough and share > self._config.max_bad_share:
            raise ValueError(
                f"training data: {total} of {self.seen + total} records cannot be used, more than "
                f"max_bad_share {self._config.max_bad_share}: {dict(self.bad)}; "
                f"the last was {bad[-1][0]}: {bad[-1][1]}"
            )


def training_batches(
    source: Source,
    tokenizer: Tokenizer,
    config: PipelineConfig,
    *,
    vocabulary: EntityVocabulary | None = None,
    augment: Augmentation | None = None,
    index: EntityIndex | None = None,
) -> TrainingBatches:
    """The batches of a run on one set of images and captions.

    Args:
      source: images with captions.
      tokenizer: of the model's text encoder.
      config: what batches hold.
      vocabulary: what counts as an entity; the published list if none is given.
      augment: takes the place of ``config.augmentation``.
      index: the source's captions with entities; read from its captions if none is given and it is
        needed.

    Returns:
      An endless iterator of this process's part of every batch; close it to end its workers.

    Raises:
      ValueError: the source is too small for a batch, or it has no captions with entities where
        they are needed, or the tokenizer has no mask token where questions are.
    """
    data = ImageTextSet(source, prompt_words=config.prompt_words, index=index)
    return mixed_batches((data,), tokenizer, config, vocabulary=vocabulary, augment=augment)


def mixed_batches(
    sets: Sequence[ImageTextSet],
    tokenizer: Tokenizer,
    config: PipelineConfig,
    *,
    vocabulary: EntityVocabulary | None = None,
    augment: Augmentation | None = None,
    agree: Callable[[int], int] = int,
) -> TrainingBatches:
    """The batches of a run on several sets, each with the same number of slots in every batch.

    Args:
      sets: what to mix; their ``prompt_words`` take the place of the config's.
      tokenizer: of the model's text encoder.
      config: what batches hold.
      vocabulary: what counts as an entity; the published list if none is given.
      augment: takes the place of ``config.augmentation``.
      agree: gives the largest of the numbers that the processes of the run call it with, each once
        a step: texts are cut to the same length in all parts of a batch.

    Returns:
      An endless iterator of this process's part of every batch; close it to end its workers.

    Raises:
      ValueError: as `training_batches`, or a set would get no slot (`mixture.mix`).
    """
    needs_entities = bool(set(config.fields) & set(ENTITY_FIELDS))
    kinds = {data.prompt_words for data in sets if "prompts" in config.fields}
    rule = None
    if needs_entities or "entities" in kinds:
        rule = entity_rule(config.entity_rule, vocabulary)
    if "nltk_nouns" in kinds:
        require_tagger()
    if rule is not None and needs_entities:
        sets = [with_entities(data, rule) for data in sets]
    else:
        sets = [replace(data, index=None) for data in sets]
    if "question" in config.fields and tokenizer.mask_token is None:
        raise ValueError(
            f"fields: 'question' needs a tokenizer with a mask token, '{tokenizer.kind}' has none"
        )
    builder = BatchBuilder(
        mixture=config.mixed(sets),
        tokenizer=tokenizer,
        augment=augment or augmentation(config.augmentation, config.image_size),
        seed=config.seed,
        fields=config.fields,
        text_length=config.text_length,
        prompt_count=config.prompt_count,
        rule=rule,
        slots=config.slots,
    )
    finish = None
    if config.text_lengths == "buckets":
        finish = partial(cut_to_fit, most=config.text_length, agree=agree)
    return TrainingBatches(builder, config, finish=finish)


def augmentation(name: str, size: int) -> Recipe | CenteredSquare:
    """The image preparation of a name in `AUGMENTATIONS`, for square images of ``size`` pixels."""
    one_of("augmentation", name, AUGMENTATIONS)
    if name == "none":
        return CenteredSquare(size)
    return stage1_augmentation(size) if name == "stage1" else stage2_augmentation(size)
