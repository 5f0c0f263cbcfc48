"""An ingest on one machine: a folder of shards from a source, over several processes.

The output depends on the source and the deciding options alone. As long as it is not complete, the
folder ``.progress`` in it holds the plan and a report for every shard that is whole; a run that was
killed goes on from there.
"""

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ovs_jax.data.durable import DRAFT, write_whole
from ovs_jax.data.ingest.detect import open_reader
from ovs_jax.data.ingest.entries import RecordFilter
from ovs_jax.data.ingest.options import IngestOptions
from ovs_jax.data.ingest.processes import DoParts, reports_in_order
from ovs_jax.data.ingest.readers import Part
from ovs_jax.data.ingest.work import DROPPED, PartReport, Tally, Work
from ovs_jax.data.manifest import MANIFEST, PROGRESS, Manifest, read_manifest

PLAN = "plan.json"
_JUDGED_AFTER = 1000  # entries; before that, a few bad ones are no large share
_log = logging.getLogger(__name__)


def ingest(
    source: str | Path,
    out: str | Path,
    options: IngestOptions,
    *,
    keep: RecordFilter | None = None,
    do: DoParts = reports_in_order,
) -> Manifest:
    """Turns images with captions into a folder that `ovs_jax.data.sources.open_image_text` opens.

    Args:
      source: what people have; see `ovs_jax.data.ingest.detect.open_reader`.
      out: the folder, which must not exist, or be empty, unless ``options.resume``.
      options: see `IngestOptions`.
      keep: chooses among the good records.
      do: does the work; `ovs_jax.data.ingest.beam` has another way.

    Returns:
      What the folder now holds.

    Raises:
      FileNotFoundError: there is no such source.
      ValueError: the source cannot be read, nothing of it can be used, or more than
        ``options.max_bad_share`` cannot; or ``out`` holds something else.
      OSError: the disk is full, or ``out`` cannot be written to. What is whole stays, and
        ``options.resume`` goes on from there.
    """
    source, out = str(source), Path(out)
    _check_folder(out, resume=options.resume)
    reader = open_reader(source, options)
    parts = reader.parts()
    if not parts:
        raise ValueError(f"source {source}: expected images with captions, there are no entries")
    work = Work(reader, out, len(parts), options, keep)
    if (out / MANIFEST).is_file():
        return _completed(work, source)
    (out / PROGRESS).mkdir(parents=True, exist_ok=True)
    with _sole_writer(out):
        _follow_plan(work, source, parts)
        for draft in out.rglob(f"*{DRAFT}"):
            draft.unlink()  # of a run that was killed
        reports = _all_reports(work, source, parts, do)
        manifest = work.finish(source, reports)
    shutil.rmtree(out / PROGRESS)
    return manifest


def _all_reports(work: Work, source: str, parts: list[Part], do: DoParts) -> list[PartReport]:
    options = work.options
    known = {part.index: report for part in parts if (report := work.done(part))}
    tally = Tally()
    reports = []
    sizes = [part.entries for part in parts]
    total = sum(size or 0 for size in sizes) if all(sizes) else None
    with tqdm(total=total, unit=" images", disable=not options.progress) as bar:
        bar.update(sum(report.entries for report in known.values()))
        bar.unpause()  # what was done before does not count as speed
        fresh = do(work, [part for part in parts if part.index not in known], count=bar.update)
        for part in parts:
            report = known[part.index] if part.index in known else next(fresh)
            reports.append(report)
            tally.add(report)
            bar.set_postfix(shards=f"{len(reports)}/{len(parts)}", dropped=tally.dropped.total())
            _log_drops(report)
            if tally.read >= _JUDGED_AFTER:
                tally.check_share(source, most=options.max_bad_share)
    tally.check_share(source, most=options.max_bad_share)
    _log.info("%s: %s%s", source, tally, f"; see {DROPPED}" if tally.dropped else "")
    return reports


def _log_drops(report: PartReport) -> None:
    for reason, count in report.dropped.items():
        first = report.first[reason]
        _log.warning("%s: dropped %d × %s, first '%s'", report.shard.file, count, reason, first)


def _check_folder(out: Path, *, resume: bool) -> None:
    """Refuses a folder that is not new, unless it is to be finished."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a folder, {out} is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if (out / MANIFEST).is_file():
        if not resume:
            raise ValueError(
                f"out: {out} is complete already ({read_manifest(out).kept} records); give another "
                "folder, or remove it"
            )
    elif (out / PROGRESS).is_dir():
        if not resume:
            raise ValueError(
                f"out: {out} holds an ingest that was interrupted; go on with --resume, or remove "
                "it"
            )
    else:
        raise ValueError(f"out: expected an empty folder, {out} holds other files")


def _completed(work: Work, source: str) -> Manifest:
    """The manifest of a folder that was complete before."""
    manifest = read_manifest(work.out)
    found = {"source": manifest.source, **manifest.options}
    _check_same(work.out, found, {"source": source, **work.decided()})
    shutil.rmtree(work.out / PROGRESS, ignore_errors=True)
    _log.info("%s is complete already: %d records", work.out, manifest.kept)
    return manifest


def _follow_plan(work: Work, source: str, parts: list[Part]) -> None:
    """Writes down what is to be done, or makes sure that it is what was begun."""
    places = hashlib.sha256(repr([part.place for part in parts]).encode("utf-8", "replace"))
    plan = {"source": source, **work.decided(), "parts": len(parts), "content": places.hexdigest()}
    path = work.out / PROGRESS / PLAN
    if path.is_file():
        _check_same(work.out, json.loads(path.read_bytes()), plan)
    else:
        write_whole(path, json.dumps(plan).encode())


def _check_same(out: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    different = [name for name, value in wanted.items() if found.get(name) != value]
    if different == ["content"]:
        raise ValueError(f"out: the source has changed since {out} was begun; remove {out}")
    for name in different:
        raise ValueError(
            f"out: {out} was begun with {name} {found.get(name)!r}, this is {wanted[name]!r}; "
            "give another folder, or remove it"
        )


@contextmanager
def _sole_writer(out: Path) -> Iterator[None]:
    """Makes sure that no other process ingests into the folder; a kill gives it free."""
    with open(out / PROGRESS / "lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"out: another process is writing to {out}") from error
        yield
