"""Compares this package with any folder of reference numbers.

    python scripts/verify_golden.py FOLDER [--failures-only]

A folder is in the format of ``golden/grouping`` (a sub-folder a model; sizes come from its
``config.json``) or of ``golden/zegformer`` (files ``<model>_weights.npz``, ``<model>_train.npz``
and so on; sizes come from the shapes of the weights). Prints one row an array (file, array, largest
difference, tolerance, verdict) and what was not compared, with the reason. Exits 1 if anything is
outside its tolerance.
"""

import argparse
import os
import sys
from pathlib import Path

import jax
from parity.features import check_features, check_round_trip
from parity.operations import check_operations
from parity.reference import Reference
from parity.report import Report
from parity.segmentation import check_segmentation
from parity.training import check_training
from parity.zegformer import check_zegformer

from ovs_jax.conversion.rules import ConversionError


def verify(folder: Path) -> Report:
    """Runs every comparison that the folder's files allow."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of reference numbers, got none")
    jax.config.update("jax_default_matmul_precision", "highest")
    cache = Path(__file__).resolve().parent.parent / ".jax_cache"
    jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_CACHE", str(cache)))
    report = Report()
    for config in sorted(folder.glob("*/config.json")):
        reference = Reference(config.parent)
        try:
            for check in (check_round_trip, check_features, check_training, check_segmentation):
                check(reference, report)
        except ConversionError as error:
            report.record(f"{reference.name}/params", "every name", float("inf"), 0.0, str(error))
    if (folder / "misc").is_dir():
        check_operations(folder / "misc", report)
    check_zegformer(folder, report)
    return report


def main() -> int:
    """Reads the arguments, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--failures-only", action="store_true", help="print failing rows only")
    arguments = parser.parse_args()
    report = verify(arguments.folder)
    print(report.table(everything=not arguments.failures_only))
    return 1 if report.failures or not report.checks else 0


if __name__ == "__main__":
    sys.exit(main())
