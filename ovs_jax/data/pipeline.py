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
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import grain
from absl import flags

from ovs_jax.data.augment import stage1_augmentation, stage2_augmentation
from ovs_jax.data.batches import (
    ENTITY_FIELDS,
    IMAGE_FIELDS,
    LABEL_FIELDS,
    TEXT_FIELDS,
    Augmentation,
    BatchBuilder,
    BuiltBatch,
)
from ovs_jax.data.mixture import PROMPT_WORDS, ImageTextSet, Mixture, mix, with_entities
from ovs_jax.data.pairing import EntityIndex
from ovs_jax.data.records import Source
from ovs_jax.data.remembered import Remembered
from ovs_jax.data.square import CenteredSquare
from ovs_jax.data.text_lengths import cut_texts, fitting_length, needed_length
from ovs_jax.text.entities import RULES, EntityVocabulary, entity_rule
from ovs_jax.text.tagged_nouns import require_tagger
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.typing import Batch

AUGMENTATIONS = ("stage1", "stage2", "none")
PADDINGS = ("original", "buckets")

_LAST_STEP = 2**31 - 1
_JUDGED_AFTER = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PipelineConfig:
    """What batches hold and how they are built.

    Attributes:
      batch_size: records a step, over all processes.
      image_size: side of the square images, in pixels.
      text_length: tokens a text.
      text_lengths: ``original`` pads every text to ``text_length``; ``buckets`` cuts each batch to
        the smallest of `data.text_lengths.LENGTHS` that holds its texts.
      fields: entries of a batch: ``image``, ``caption``, ``prompts``, ``question``, ``answer``,
        ``cross_image``, ``cross_entity``. With one of the last four, records whose caption has no
        entity are left out, as the published training data was. Of labelled images ``image``,
        ``label`` and ``classes``.
      augmentation: ``stage1`` or ``stage2`` for the published recipes, ``none`` for a centred crop.
      prompt_count: noun prompts a caption.
      prompt_words: what noun prompts name, where there is one set (`mixture.ImageTextSet`).
      entity_rule: ``corrected`` or ``original``.
      seed: of order and augmentation.
      slices: contiguous ranges that the records are cut into; each part of a batch draws from one.
        0 for as many as there are processes, so that each reads its own range.
      remember: whether records are kept in memory once read; decoding and augmentation are not.
      workers: processes that build batches; 0 builds them in this one.
      threads: threads that build batches, in each process.
      prefetch: batches that each process keeps ready.
      max_bad_share: the run stops if a larger share of the records cannot be used.
      process_index: which slots of the batch to build ...
      process_count: ... of how many equal parts.
    """

    batch_size: int
    image_size: int
    text_length: int
    fields: tuple[str, ...] = ("image", "caption")
    text_lengths: str = "original"
    augmentation: str = "stage1"
    prompt_count: int = 3
    prompt_words: str = "nouns"
    entity_rule: str = "corrected"
    seed: int = 0
    slices: int = 0
    remember: bool = False
    workers: int = 0
    threads: int = 2
    prefetch: int = 2
    max_bad_share: float = 0.05
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        known = (*IMAGE_FIELDS, *TEXT_FIELDS, *LABEL_FIELDS)
        unknown = [name for name in self.fields if name not in known]
        if unknown or not self.fields or len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields: expected some of {known}, each once, got {self.fields}")
        _one_of("augmentation", self.augmentation, AUGMENTATIONS)
        _one_of("entity_rule", self.entity_rule, RULES)
        _one_of("prompt_words", self.prompt_words, PROMPT_WORDS)
        _one_of("text_lengths", self.text_lengths, PADDINGS)
        least = {"batch_size": 1, "image_size": 1, "text_length": 2, "prompt_count": 1, "seed": 0}
        least |= {"slices": 0, "workers": 0, "threads": 0, "prefetch": 1, "process_count": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name}: expected at least {smallest}, got {getattr(self, name)}")
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"process_index: expected 0 to {self.process_count - 1}, got {self.process_index}"
            )
        if self.batch_size % self.process_count:
            raise ValueError(
                f"batch_size: expected a multiple of process_count {self.process_count}, "
                f"got {self.batch_size}"
            )
        if self.slices and self.batch_size % self.slices:
            raise ValueError(
                f"slices: expected a divisor of batch_size {self.batch_size}, got {self.slices}"
            )
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError(f"max_bad_share: expected 0 to 1, got {self.max_bad_share}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected one of {known}, got '{value}'")


@runtime_checkable
class Builder(Protocol):
    """Builds the batch of a step, as `BatchBuilder` does.

    Attributes:
      mixture: which record stands where.
      seed: of all chance.
      slots: the slots of the global batch that this process builds.
    """

    @property
    def mixture(self) -> Mixture: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102

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
        self, builder: Builder, config: PipelineConfig, *, agree: Callable[[int], int] = int
    ):
        """Begins at step 0.

        Args:
          builder: of the batches.
          config: what they hold.
          agree: gives the largest of the numbers that the processes of the run call it with, each
            once a step. Texts are cut to the same length in all parts of a batch, and no process
            sees the parts of the others.
        """
        super().__init__()
        self.records = builder.mixture.records
        self.step = 0
        self.seen = 0
        self.bad: Counter[str] = Counter()
        self._builder = builder
        self._config = config
        self._agree = agree
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
        if self._config.text_lengths == "buckets":
            needed = self._agree(needed_length(batch))
            batch = cut_texts(batch, fitting_length(needed, most=self._config.text_length))
        return {name: batch[name] for name in self._config.fields}  # workers sort them

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
      agree: how the processes agree on a number, as in `TrainingBatches`.

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
    if config.remember:
        sets = [replace(data, source=Remembered(data.source)) for data in sets]
    part = config.batch_size // config.process_count
    builder = BatchBuilder(
        mixture=mix(
            sets,
            batch_size=config.batch_size,
            slices=config.slices or config.process_count,
            seed=config.seed,
        ),
        tokenizer=tokenizer,
        augment=augment or augmentation(config.augmentation, config.image_size),
        seed=config.seed,
        fields=config.fields,
        text_length=config.text_length,
        prompt_count=config.prompt_count,
        rule=rule,
        slots=range(part * config.process_index, part * (config.process_index + 1)),
    )
    return TrainingBatches(builder, config, agree=agree)


def augmentation(name: str, size: int) -> Augmentation:
    """The image preparation of a name in `AUGMENTATIONS`, for square images of ``size`` pixels."""
    _one_of("augmentation", name, AUGMENTATIONS)
    if name == "none":
        return CenteredSquare(size)
    return stage1_augmentation(size) if name == "stage1" else stage2_augmentation(size)
