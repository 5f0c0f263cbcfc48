"""Keeping the captions that name an entity, as OVSegmentor's training data (CC4M) was made.

OVSegmentor (CVPR 2023), section 4.1: CC12M, of which the captions with one of 100 words were kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from ovs_jax.data.block_map import map_blocks
from ovs_jax.data.caption_rows import RowBlock, RowFile
from ovs_jax.data.durable import draft_of, publish
from ovs_jax.data.records import Record
from ovs_jax.text.entities import EntityRule, OriginalRule

EMPTY = "no caption"
WITHOUT = "no entity"


@dataclass(frozen=True)
class EntityFilter:
    """Keeps records whose caption has an entity, when data is ingested, here or on Apache Beam.

    Attributes:
      rule: what an entity is (`EntityRule.pairing_entities`); the published filter if not given.
    """

    rule: EntityRule = field(default_factory=OriginalRule)

    @property
    def name(self) -> str:
        """Says in the manifest of ingested data what was chosen."""
        return f"entities ({self.rule.name} rule, {len(self.rule.vocabulary.filter_words)} words)"

    def __call__(self, record: Record) -> str | None:
        """Why a record is left out, or None if it is kept."""
        return None if self.rule.pairing_entities(record["caption"]) else WITHOUT


@dataclass
class FilterReport:
    """What became of captions.

    Attributes:
      read: how many there were.
      kept: how many have an entity.
      dropped: how many were left out, by reason.
      entities: how many of those kept have each entity.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON values, entities by their number."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "entities": dict(self.entities.most_common()),
        }

    def add(self, other: "FilterReport") -> None:
        """Adds the counts of other captions."""
        self.read += other.read
        self.kept += other.kept
        self.dropped.update(other.dropped)
        self.entities.update(other.entities)


@dataclass(frozen=True)
class FilteredBlock:
    """What became of consecutive captions.

    Attributes:
      kept: the numbers of those with an entity, ascending, from 0 on.
      report: the counts.
    """

    kept: tuple[int, ...]
    report: FilterReport


def filter_captions(captions: Sequence[str], rule: EntityRule) -> FilteredBlock:
    """Filters captions; an empty one is no caption."""
    report = FilterReport(read=len(captions))
    kept: list[int] = []
    for number, caption in enumerate(captions):
        names = rule.pairing_entities(caption)
        if names:
            kept.append(number)
            report.entities.update(names)
        else:
            report.dropped[WITHOUT if caption else EMPTY] += 1
    report.kept = len(kept)
    return FilteredBlock(tuple(kept), report)


def filter_rows(
    source: RowFile,
    target: str | Path,
    rule: EntityRule,
    *,
    workers: int = 1,
    follow: Callable[[Iterator[RowBlock]], Iterator[RowBlock]] = iter,
) -> FilterReport:
    """Writes the rows of a file whose captions have an entity, as they stand.

    Args:
      source: rows with captions.
      target: a file of the same kind; it appears when it is complete, and replaces what was there.
      rule: decides what an entity is (`EntityRule.pairing_entities`).
      workers: processes that read entities.
      follow: gives the blocks on as they are read, for a display of progress.

    Returns:
      The counts.

    Raises:
      ValueError: ``target`` is of another kind than ``source``, or is the same file, or the source
        cannot be read.
      OSError: the target cannot be written.
    """
    target = Path(target)
    if target.suffix.lower() != source.path.suffix.lower():
        raise ValueError(f"{target}: expected a file of the kind of {source.path.name}")
    if target.exists() and target.samefile(source.path):
        raise ValueError(f"{target}: expected another file than the one that is filtered")
    report = FilterReport()
    results = map_blocks(
        partial(filter_captions, rule=rule),
        follow(source.blocks()),
        workers=workers,
        argument=attrgetter("captions"),
    )
    draft = draft_of(target)
    try:
        with ExitStack() as stack:
            writer = source.writing(draft, stack)
            for block, found in results:
                writer.write(block, found.kept)
                report.add(found.report)
        publish(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return report
