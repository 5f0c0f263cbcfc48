"""A folder of reference numbers of ZegFormer: which comparison reads which file.

To compare more, write a module with a function and add it here: to `MODEL_CHECKS` if it reads the
files of one model, to `FOLDER_CHECKS` if it reads files that stand alone.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ovs_jax.conversion.rules import ConversionError
from parity.adamw import check_optimizer
from parity.networks import check_inference, check_names, check_networks, check_parts
from parity.report import Report
from parity.set_losses import check_gradients, check_losses
from parity.zegformer_reference import ZegFormerReference

MODEL_CHECKS: tuple[Callable[[ZegFormerReference, Report], None], ...] = (
    check_names,
    check_parts,
    check_losses,
    check_networks,
    check_gradients,
    check_optimizer,
    check_inference,
)
FOLDER_CHECKS: tuple[Callable[[Path, Report], None], ...] = ()
SUFFIX = "_weights.npz"
MARKER = "sem_seg_head.predictor.query_embed.weight"


def references(folder: Path) -> list[ZegFormerReference]:
    """The models of a folder; none where it is of another kind."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    return [
        ZegFormerReference(folder, file.name.removesuffix(SUFFIX))
        for file in files
        if MARKER in np.load(file).files
    ]


def check_zegformer(folder: Path, report: Report) -> None:
    """Runs every comparison, and lists what none has looked at."""
    models = references(folder)
    for reference in models:
        try:
            for check in MODEL_CHECKS:
                check(reference, report)
        except ConversionError as error:
            file = f"{reference.name}_weights"
            report.record(file, "every name", float("inf"), 0.0, str(error))
    if models:
        for check in FOLDER_CHECKS:
            check(folder, report)
        for file in sorted(folder.glob("*.npz")):
            report.account(file.stem, set(np.load(file).files))
