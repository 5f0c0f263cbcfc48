"""Checks that an ingested folder is whole.

An ingested folder is compared with its manifest: checksums and numbers of records of every shard,
then images are decoded and captions compared.

Examples:
  ovs-jax data check shards/cc12m
  ovs-jax data check shards/cc12m --all
        decode every image instead of a thousand
"""

import argparse

from ovs_jax.data.check import SAMPLE, check_shards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data check``."""
    parser.add_argument("folder", metavar="DIR", help="a folder that 'ovs-jax data ingest' made")
    parser.add_argument("--all", action="store_true", help="decode every image")


def run(arguments: argparse.Namespace) -> int:
    """Checks the folder and prints what was found.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status: 0, or 1 if something is wrong.

    Raises:
      FileNotFoundError: it is no such folder.
      ValueError: its manifest is not as expected.
    """
    report = check_shards(arguments.folder, sample=None if arguments.all else SAMPLE, progress=True)
    for fault in report.faults:
        print(fault)
    verdict = f"{len(report.faults)} faults" if report.faults else "all is well"
    print(
        f"{arguments.folder}: {report.records} records in {report.shards} shards, "
        f"{report.images} images decoded: {verdict}"
    )
    return 1 if report.faults else 0
