"""One part of a source becomes one shard, with a report of what became of its entries.

This is what every worker does, here and in the Beam pipeline; doing it twice does no harm.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ovs_jax.data.durable import draft_of, publish, write_whole
from ovs_jax.data.ingest.entries import Drop, RecordFilter, is_bad, outcomes
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.ingest.readers import Part, Reader
from ovs_jax.data.manifest import PROGRESS, VERSION, Manifest, Shard, write_manifest
from ovs_jax.data.shards import ShardWriter, shard_name

DROPPED = "dropped.jsonl"
"""The file that lists what was left out: key, reason and detail."""
_COUNT_EVERY = 32


@dataclass(frozen=True)
class PartReport:
    """What became of a part.

    Attributes:
      index: of the part and its shard.
      entries: how many images it has, good or bad.
      shard: the shard.
      dropped: how many pairs of image and caption are not in it, by reason.
      first: the key of the first of them, by reason.
    """

    index: int
    entries: int
    shard: Shard
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)


@dataclass
class Tally:
    """Sums of reports.

    Attributes:
      kept: how many records there are.
      dropped: how many pairs were left out, by reason.
      first: the key of the first of them, by reason.
    """

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, report: PartReport) -> None:
        """Counts a part."""
        self.kept += report.shard.records
        self.dropped.update(report.dropped)
        self.first = report.first | self.first

    @property
    def read(self) -> int:
        """How many pairs of image and caption were read."""
        return self.kept + self.dropped.total()

    def __str__(self) -> str:
        counts = self.dropped.most_common()
        listed = (f"{n} × {reason} (first: '{self.first[reason]}')" for reason, n in counts)
        return f"{self.kept} of {self.read} kept; dropped {', '.join(listed) or 'none'}"

    def check_share(self, source: str, *, most: float) -> None:
        """Stops an ingest whose source is too bad.

        Raises:
          ValueError: more than the share ``most`` of the entries is bad data.
        """
        bad = sum(count for reason, count in self.dropped.items() if is_bad(reason))
        if self.read and bad / self.read > most:
            raise ValueError(
                f"source {source}: {bad} of {self.read} entries cannot be used, more than "
                f"max_bad_share {most}: {self}"
            )


@dataclass(frozen=True)
class Work:
    """What a worker needs to know.

    Attributes:
      reader: of the source.
      out: the folder of shards.
      parts: how many there are in all.
      options: how entries are checked.
      keep: chooses among the good ones.
    """

    reader: Reader
    out: Path
    parts: int
    options: IngestOptions
    keep: RecordFilter | None = None

    def do(self, part: Part, *, count: Callable[[int], None] | None = None) -> PartReport:
        """Writes the shard of a part, and then its report, which says that the shard is whole.

        Args:
          part: of the source.
          count: is told from time to time how many more entries have been read.

        Raises:
          OSError: the part cannot be read, or the shard cannot be written, as on a full disk;
            nothing is left behind then.
        """
        writer = ShardWriter(self.out, shard_name(part.index, self.parts))
        drops: list[Drop] = []
        entries = waiting = 0
        try:
            for entry in self.reader.read(part):
                for outcome in outcomes(entry, self.options, keep=self.keep):
                    if isinstance(outcome, Drop):
                        drops.append(outcome)
                    else:
                        writer.write(outcome)
                entries += 1
                waiting += 1
                if count is not None and waiting >= _COUNT_EVERY:
                    count(waiting)
                    waiting = 0
            shard = writer.close()
        finally:
            writer.discard()
        lines = [json.dumps(asdict(drop)) + "\n" for drop in drops]
        write_whole(self._drops_path(part.index), "".join(lines).encode())
        dropped = Counter(drop.reason for drop in drops)
        first = {drop.reason: drop.key for drop in reversed(drops)}
        report = PartReport(part.index, entries, shard, dict(sorted(dropped.items())), first)
        write_whole(self._report_path(part.index), json.dumps(asdict(report)).encode())
        if count is not None:
            count(waiting)
        return report

    def done(self, part: Part) -> PartReport | None:
        """The report of a part whose shard is whole, or None if it has to be done."""
        try:
            content: dict[str, Any] = json.loads(self._report_path(part.index).read_bytes())
        except FileNotFoundError:
            return None
        shard = Shard(**content["shard"])
        file = self.out / shard.file
        if not file.is_file() or file.stat().st_size != shard.bytes:
            return None
        if not (self.out / shard.captions).is_file():
            return None
        content["shard"] = shard
        return PartReport(**content)

    def finish(self, source: str, reports: Sequence[PartReport]) -> Manifest:
        """Writes the list of what was dropped and then the manifest.

        Args:
          source: as it was given.
          reports: of all parts, in any order.

        Raises:
          ValueError: nothing was kept.
          OSError: the disk is full; the folder is then not complete.
        """
        reports = sorted(reports, key=lambda report: report.index)
        tally = Tally()
        for report in reports:
            tally.add(report)
        if not tally.kept:
            raise ValueError(
                f"source {source}: expected at least one image with a caption, found none: {tally}"
            )
        self._gather_drops()
        manifest = Manifest(
            version=VERSION,
            source=source,
            options=self.decided(),
            read=tally.read,
            kept=tally.kept,
            dropped=dict(sorted(tally.dropped.items())),
            bytes=sum(report.shard.bytes for report in reports),
            shards=tuple(report.shard for report in reports),
        )
        write_manifest(self.out, manifest)
        return manifest

    def decided(self) -> dict[str, Any]:
        """What was chosen and decides what the records are."""
        return self.options.deciding() | {"filter": None if self.keep is None else self.keep.name}

    def _gather_drops(self) -> None:
        path = self.out / DROPPED
        draft = draft_of(path)
        try:
            with open(draft, "wb") as file:
                for index in range(self.parts):
                    file.write(self._drops_path(index).read_bytes())
            publish(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def _report_path(self, index: int) -> Path:
        return self.out / PROGRESS / f"{index:05d}.json"

    def _drops_path(self, index: int) -> Path:
        return self.out / PROGRESS / f"{index:05d}.{DROPPED}"
