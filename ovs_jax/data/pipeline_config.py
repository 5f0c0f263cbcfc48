"""What training batches hold and how they are built."""

from dataclasses import dataclass

from ovs_jax.data.batches import IMAGE_FIELDS, LABEL_FIELDS, TEXT_FIELDS
from ovs_jax.data.mixture import PROMPT_WORDS
from ovs_jax.text.entities import RULES

AUGMENTATIONS = ("stage1", "stage2", "none")
PADDINGS = ("original", "buckets")


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
        one_of("augmentation", self.augmentation, AUGMENTATIONS)
        one_of("entity_rule", self.entity_rule, RULES)
        one_of("prompt_words", self.prompt_words, PROMPT_WORDS)
        one_of("text_lengths", self.text_lengths, PADDINGS)
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


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuses a value that is not known.

    Raises:
      ValueError: names the field and what it may be.
    """
    if value not in known:
        raise ValueError(f"{name}: expected one of {known}, got '{value}'")
