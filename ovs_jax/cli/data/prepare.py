"""Converts the official download of a benchmark to ArrayRecord files with class indices.

NAME is pascal_voc, pascal_context, coco_object, coco_stuff, ade20k, ade20k_full, cityscapes or
imagenet, or a class list that one of them can be read with, such as voc20. Every file is decoded
on the way; one that cannot be used stops the preparation and is named. What was prepared is opened
like the download itself, and by any program that uses tensorflow-datasets.

Examples:
  ovs-jax data prepare pascal_voc --source VOCdevkit --out prepared
  ovs-jax data prepare ade20k --source ADEChallengeData2016 --out prepared --split val --split train
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data prepare``."""
    parser.add_argument("name", metavar="NAME", help="a benchmark, or one of its class lists")
    parser.add_argument("--source", required=True, type=Path, help="the folder of the download")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write into")
    parser.add_argument(
        "--split", action="append", default=[], help="a part (default: val); may be repeated"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prepares the benchmark and says where it is.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: an unknown name or split, no image, or a file that cannot be used.
      FileNotFoundError: a folder, a list or a file is missing.
      FileExistsError: it was prepared before.
    """
    from ovs_jax.data.benchmarks.builder import prepare_benchmark
    from ovs_jax.data.benchmarks.prepared import read_info

    folder = prepare_benchmark(
        arguments.name, arguments.source, arguments.out, splits=arguments.split
    )
    written = read_info(folder)
    splits = written.splits if written is not None else {}
    counts = ", ".join(f"{count} records of split '{split}'" for split, count in splits.items())
    print(f"written to {folder}: {counts}")
    return 0
