"""Keeps the captions that name an entity, as OVSegmentor's training data (CC4M) was made of CC12M.

The published 100 words, synonyms and rule (a word of the caption is exactly one of them) are used
unless others are given.

If OUT is a .txt, .csv, .tsv, .jsonl or .parquet file, SOURCE is one of the same kind with a caption
in every row, and the rows that are kept are written unchanged; images are not looked at and need
not be there yet. Otherwise OUT is a new folder of shards, and SOURCE whatever ovs-jax data ingest
takes; such a run goes on with --resume after it was killed.

Examples:
  ovs-jax data filter-entities cc12m.tsv cc4m.tsv --caption-column 2
        CC12M's own file, which has no line of column names
  ovs-jax data filter-entities captions.txt kept.txt --entities animals.json --report counts.json
  ovs-jax data filter-entities shards/cc12m shards/cc4m
"""

import argparse
import json
import shlex
from pathlib import Path

from ovs_jax.cli.data.captions import add_source_arguments, chosen_rule, followed
from ovs_jax.data.caption_rows import ROW_SUFFIXES, RowFile
from ovs_jax.data.filtering import EntityFilter, FilterReport, filter_captions, filter_rows
from ovs_jax.data.ingest import IngestOptions, ingest
from ovs_jax.data.shards import ShardedCaptions
from ovs_jax.text.entities import RULES, EntityRule


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data filter-entities``."""
    add_source_arguments(parser)
    parser.add_argument("out", metavar="OUT", help="the file to write, or the new folder of shards")
    parser.add_argument(
        "--rule",
        choices=RULES,
        help="how captions are read (default: that of the --entities file, or original)",
    )
    parser.add_argument("--report", help="a JSON file for the counts")
    parser.add_argument("--resume", action="store_true", help="go on with a folder of shards")
    parser.add_argument(
        "--beam", metavar="OPTIONS", help="make shards on Apache Beam, as ovs-jax data ingest does"
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes what is kept and prints the counts.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: the captions cannot be read, or the target is of another kind.
      FileNotFoundError: there is no such source.
    """
    rule = chosen_rule(arguments, default="original")
    if Path(arguments.out).suffix.lower() in ROW_SUFFIXES:
        rows = RowFile(Path(arguments.source), arguments.caption_column)
        report = filter_rows(rows, arguments.out, rule, workers=arguments.workers, follow=followed)
    else:
        report = _filter_records(arguments, rule)
    print(report_text(report))
    if arguments.report:
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"
        Path(arguments.report).write_text(text, encoding="utf-8")
    return 0


def _filter_records(arguments: argparse.Namespace, rule: EntityRule) -> FilterReport:
    options = IngestOptions(
        image_column=arguments.image_column,
        caption_column=arguments.caption_column,
        data_dir=arguments.data_dir,
        workers=arguments.workers,
        resume=arguments.resume,
        progress=True,
    )
    keep = EntityFilter(rule)
    if arguments.beam is None:
        manifest = ingest(arguments.source, arguments.out, options, keep=keep)
    else:
        from ovs_jax.data.ingest.beam import ingest_with_beam

        manifest = ingest_with_beam(
            arguments.source,
            arguments.out,
            options,
            keep=keep,
            pipeline=shlex.split(arguments.beam),
        )
    report = filter_captions(ShardedCaptions(arguments.out).captions(), rule).report
    report.read = manifest.read
    report.dropped.update(manifest.dropped)
    return report


def report_text(report: FilterReport) -> str:
    """The counts as lines: all captions, those kept, why others were not, and each entity."""
    share = report.kept / max(report.read, 1)
    lines = [f"{report.read} captions, {report.kept} kept ({share:.1%})"]
    lines += [f"{count:>12} left out: {reason}" for reason, count in report.dropped.items()]
    lines += [f"{count:>12} {name}" for name, count in report.entities.most_common()]
    return "\n".join(lines)
