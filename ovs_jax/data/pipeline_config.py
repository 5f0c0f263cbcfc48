"""How training batches are drawn and read ahead, and what those with captions hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ovs_jax.data.batches import IMAGE_FIELDS, TEXT_FIELDS
from ovs_jax.data.mixture import PROMPT_WORDS, ImageTextSet, Mixture, mix
from ovs_jax.data.remembered import Remembered
from ovs_jax.text.entities import RULES

AUGMENTATIONS = ("stage1", "stage2", "none")
PADDINGS = ("original", "buckets")


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """How records are read and batches built ahead of their use.

    Attributes:
      remember: whether records stay in memory once they are read or drawn; decoding and
        augmentation are done again.
      slices: contiguous ranges that the records are cut into. Every process reads only those its
        part of the batch draws from. 0 for one a process; resuming with another number of processes
        needs the number of the saved run.
      workers: processes that build batches; 0 builds them in threads of this one.
      threads: threads that build batches, in each process.
      prefetch: batches that each process keeps ready.
      max_bad_share: the run stops if a larger share of the records cannot be used.
    """

    remember: bool = False
    slices: int = 0
    workers: int = 0
    threads: int = 2
    prefetch: int = 2
    max_bad_share: float = 0.05


@dataclass(frozen=True)
class StreamConfig(ReadingConfig):
    """How the batches of a run are drawn, whatever they hold.

    Attributes:
      batch_size: records a step, over all processes.
      seed: of order and augmentation.
      process_index: which slots of the batch to build ...
      process_count: ... of how many equal parts.
    """

    batch_size: int
    seed: int = field(default=0, kw_only=True)
    process_index: int = field(default=0, kw_only=True)
    process_count: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        at_least(self, batch_size=1, seed=0, slices=0, workers=0, threads=0, prefetch=1)
        at_least(self, process_count=1)
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

    @property
    def slots(self) -> range:
        """The slots of the global batch that this process builds."""
        part = self.batch_size // self.process_count
        return range(part * self.process_index, part * (self.process_index + 1))

    def mixed(self, sets: Sequence[ImageTextSet]) -> Mixture:
        """Which record of which set stands where in every batch.

        Raises:
          ValueError: a set is too small, or would get no slot.
        """
        if self.remember:
            sets = [replace(data, source=Remembered(data.source)) for data in sets]
        slices = self.slices or self.process_count
        return mix(sets, batch_size=self.batch_size, slices=slices, seed=self.seed)


@dataclass(frozen=True)
class PipelineConfig(StreamConfig):
    """What batches of images with captions hold and how they are built.

    Attributes:
      image_size: side of the square images, in pixels.
      text_length: tokens a text.
      fields: entries of a batch: ``image``, ``caption``, ``prompts``, ``question``, ``answer``,
        ``cross_image``, ``cross_entity``. With one of the last four, records whose caption has no
        entity are left out, as the published training data was.
      text_lengths: ``original`` pads every text to ``text_length``; ``buckets`` cuts each batch to
        the smallest of `data.text_lengths.LENGTHS` that holds its texts.
      augmentation: ``stage1`` or ``stage2`` for the published recipes, ``none`` for a centred crop.
      prompt_count: noun prompts a caption.
      prompt_words: what noun prompts name, where there is one set (`mixture.ImageTextSet`).
      entity_rule: ``corrected`` or ``original``.
    """

    image_size: int
    text_length: int
    fields: tuple[str, ...] = ("image", "caption")
    text_lengths: str = "original"
    augmentation: str = "stage1"
    prompt_count: int = 3
    prompt_words: str = "nouns"
    entity_rule: str = "corrected"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, image_size=1, text_length=2, prompt_count=1)
        known = (*IMAGE_FIELDS, *TEXT_FIELDS)
        unknown = [name for name in self.fields if name not in known]
        if unknown or not self.fields or len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields: expected some of {known}, each once, got {self.fields}")
        one_of("augmentation", self.augmentation, AUGMENTATIONS)
        one_of("entity_rule", self.entity_rule, RULES)
        one_of("prompt_words", self.prompt_words, PROMPT_WORDS)
        one_of("text_lengths", self.text_lengths, PADDINGS)


def at_least(config: StreamConfig, **smallest: int) -> None:
    """Refuses fields that are too small.

    Raises:
      ValueError: names the first, what it may be and what it is.
    """
    for name, least in smallest.items():
        if getattr(config, name) < least:
            raise ValueError(f"{name}: expected at least {least}, got {getattr(config, name)}")


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuses a value that is not known.

    Raises:
      ValueError: names the field and what it may be.
    """
    if value not in known:
        raise ValueError(f"{name}: expected one of {known}, got '{value}'")
