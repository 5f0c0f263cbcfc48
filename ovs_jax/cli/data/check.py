"""Checks that data is whole: an ingested folder, or a benchmark, official or prepared.

An ingested folder is compared with its manifest: checksums and numbers of records of every shard,
then images are decoded and captions compared. Of a benchmark every file is decoded: readable,
label maps of the size of their images, labels of the class list; and the classes are counted.

Examples:
  ovs-jax data check shards/cc12m
  ovs-jax data check shards/cc12m --all
        decode every image instead of a thousand
  ovs-jax data check VOCdevkit/VOC2012
        the layout tells which benchmark it is
  ovs-jax data check prepared --as voc20 --split val
"""

import argparse
from pathlib import Path

from ovs_jax.data.benchmarks.check import check_benchmark, detect
from ovs_jax.data.check import SAMPLE, check_shards
from ovs_jax.data.manifest import is_ingested


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data check``."""
    parser.add_argument(
        "folder", metavar="DIR", type=Path, help="what 'ovs-jax data ingest' made, or a benchmark"
    )
    parser.add_argument("--all", action="store_true", help="decode every image of an ingested DIR")
    parser.add_argument(
        "--as", dest="benchmark", metavar="NAME", help="which benchmark or class list it is"
    )
    parser.add_argument("--split", help="which part of a benchmark (default: val)")


def run(arguments: argparse.Namespace) -> int:
    """Checks the folder and prints what was found.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status: 0, or 1 if something is wrong.

    Raises:
      FileNotFoundError: there is no such folder, or nothing in it that can be checked.
      ValueError: its manifest or layout is not as expected, or options do not fit.
    """
    if arguments.benchmark is not None or not is_ingested(arguments.folder):
        if arguments.all:
            raise ValueError("--all: belongs to ingested data; of a benchmark all is decoded")
        return _check_benchmark(arguments)
    if arguments.split is not None:
        raise ValueError("--split: belongs to a benchmark; ingested data has no splits")
    report = check_shards(arguments.folder, sample=None if arguments.all else SAMPLE, progress=True)
    for fault in report.faults:
        print(fault)
    verdict = f"{len(report.faults)} faults" if report.faults else "all is well"
    print(
        f"{arguments.folder}: {report.records} records in {report.shards} shards, "
        f"{report.images} images decoded: {verdict}"
    )
    return 1 if report.faults else 0


def _check_benchmark(arguments: argparse.Namespace) -> int:
    if not arguments.folder.is_dir():
        raise FileNotFoundError(f"folder {arguments.folder} does not exist")
    name = arguments.benchmark
    if name is None:
        name, *others = detect(arguments.folder)
        if others:
            print(f"taken as {name}; --as {' or '.join(others)} reads it otherwise")
    report = check_benchmark(name, arguments.folder, split=arguments.split)
    print(report.to_markdown())
    return 0 if report.sound else 1
