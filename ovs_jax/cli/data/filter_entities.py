"""Keeps the captions that name an entity, as OVSegmentor's training data (CC4M) was made of CC12M.

The published 100 words, synonyms and rule (a word of the caption is exactly one of them) are used
unless others are given.

A file of captions (.txt with one a line, .csv, .tsv, .jsonl, .parquet) gives a file of the same
kind with the rows that are kept, unchanged; images are not looked at and need not be there yet. Any
other folder of photos with captions gives a JSONL table of those that are kept.

Examples:
  ovs-jax data filter-entities cc12m.tsv cc4m.tsv --caption-column 2
        CC12M's own file, which has no line of column names
  ovs-jax data filter-entities captions.txt kept.txt --entities animals.json --report counts.json
"""

import argparse
import json
from pathlib import Path

from ovs_jax.cli.data.captions import add_source_arguments, caption_file, chosen_rule, followed
from ovs_jax.data.filtering import FilterReport, filter_photos, filter_rows
from ovs_jax.data.sources import open_image_text
from ovs_jax.text.entities import RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data filter-entities``."""
    add_source_arguments(parser)
    parser.add_argument("out", help="the file to write")
    parser.add_argument(
        "--rule",
        choices=RULES,
        help="how captions are read (default: that of the --entities file, or original)",
    )
    parser.add_argument("--report", help="a JSON file for the counts")


def run(arguments: argparse.Namespace) -> int:
    """Writes what is kept and prints the counts.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: the captions cannot be read, or the target is of another kind.
    """
    rule = chosen_rule(arguments, default="original")
    rows = caption_file(arguments)
    if rows is not None:
        report = filter_rows(rows, arguments.out, rule, workers=arguments.workers, follow=followed)
    else:
        source = open_image_text(
            arguments.source,
            image_column=arguments.image_column,
            caption_column=arguments.caption_column,
        )
        report = filter_photos(source, arguments.out, rule)
    print(report_text(report))
    if arguments.report:
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"
        Path(arguments.report).write_text(text, encoding="utf-8")
    return 0


def report_text(report: FilterReport) -> str:
    """The counts as lines: all captions, those kept, why others were not, and each entity."""
    share = report.kept / max(report.read, 1)
    lines = [f"{report.read} captions, {report.kept} kept ({share:.1%})"]
    lines += [f"{count:>12} left out: {reason}" for reason, count in report.dropped.items()]
    lines += [f"{count:>12} {name}" for name, count in report.entities.most_common()]
    return "\n".join(lines)
