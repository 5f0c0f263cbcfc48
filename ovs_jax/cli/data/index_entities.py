"""Makes the index of entities from which training draws partner images.

It lies on the disk and is mapped into memory, so that a run on millions of captions starts at once:
name it with --config.data.entity_index=OUT. It fits the captions it was made from, in their order.

Examples:
  ovs-jax data index-entities shards/cc4m indices/cc4m
  ovs-jax data index-entities cc12m.tsv indices/all --captions-only --caption-column 2
        from captions alone, to see what is in them
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ovs_jax.cli.data.captions import add_source_arguments, chosen_rule, followed, has_rows
from ovs_jax.data.caption_rows import RowBlock, RowFile
from ovs_jax.data.entity_index import BLOCK
from ovs_jax.data.index_files import write_index
from ovs_jax.data.parquet import ENCODINGS
from ovs_jax.data.sources import open_image_text
from ovs_jax.text.entities import RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data index-entities``."""
    add_source_arguments(parser)
    parser.add_argument("out", metavar="OUT", help="the folder to make")
    parser.add_argument(
        "--captions-only",
        action="store_true",
        help="take every row of a table; otherwise those are left out whose images are missing",
    )
    parser.add_argument(
        "--rule",
        choices=RULES,
        help="how captions are read, as data.entity_rule in training (default: that of the "
        "--entities file, or corrected)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the index and prints what is in it.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: the captions cannot be read, or none has an entity.
      FileExistsError: there is something at the folder already.
    """
    rule = chosen_rule(arguments, default="corrected")
    blocks = (block.captions for block in followed(_blocks(arguments)))
    index = write_index(blocks, rule, arguments.out, workers=arguments.workers)
    counts = np.diff(index.place_starts)
    print(f"{len(index)} captions have entities, {index.alone} of them share none")
    for number in np.argsort(-counts, kind="stable"):
        print(f"{counts[number]:>12} {index.names[number]}")
    return 0


def _blocks(arguments: argparse.Namespace) -> Iterator[RowBlock]:
    """As many captions as the source has records, in their order."""
    if has_rows(arguments.source):
        rows = RowFile(Path(arguments.source), arguments.caption_column)
        images = {arguments.image_column, *(ENCODINGS if rows.path.suffix == ".parquet" else ())}
        if arguments.captions_only or not images & set(rows.columns()):
            yield from rows.blocks()
            return
    source = open_image_text(
        arguments.source,
        image_column=arguments.image_column,
        caption_column=arguments.caption_column,
        data_dir=arguments.data_dir,
    )
    captions = source.captions()
    for first in range(0, len(captions), BLOCK):
        yield RowBlock(list(captions[first : first + BLOCK]), None)
