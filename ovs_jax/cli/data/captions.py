"""What the commands on captions share: where captions are, and what counts as an entity in them."""

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from ovs_jax.data.caption_rows import ROW_SUFFIXES, RowBlock
from ovs_jax.text.entities import EntityRule, entity_rule
from ovs_jax.text.entity_files import read_entity_list

_MOST_WORKERS = 8


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the source, its columns, the list of entities and the number of workers."""
    parser.add_argument(
        "source", metavar="SOURCE", help="images with captions, or a file of captions alone"
    )
    parser.add_argument("--image-column", default="image")
    parser.add_argument(
        "--caption-column",
        default="caption",
        help="its name, or its number from 1 on in a file without a line of names",
    )
    parser.add_argument("--data-dir", help="where TFDS data sets are")
    parser.add_argument(
        "--entities", help="a file of own words: JSON like the shipped list, or one word a line"
    )
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, _MOST_WORKERS))


def chosen_rule(arguments: argparse.Namespace, *, default: str) -> EntityRule:
    """The rule that was asked for, by ``--rule``, the ``--entities`` file or ``default``."""
    vocabulary, name = None, None
    if arguments.entities:
        vocabulary, name = read_entity_list(arguments.entities)
    return entity_rule(arguments.rule or name or default, vocabulary)


def has_rows(path: str | Path) -> bool:
    """Whether a path is a file with a caption in every row."""
    path = Path(path)
    return path.is_file() and path.suffix.lower() in ROW_SUFFIXES


def followed(blocks: Iterable[RowBlock]) -> Iterator[RowBlock]:
    """Gives blocks on and shows on standard error how many captions went by."""
    with tqdm(unit=" captions", unit_scale=True, disable=None) as bar:
        for block in blocks:
            yield block
            bar.update(len(block.captions))
