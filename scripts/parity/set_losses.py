"""Matching, losses and gradients of ZegFormer (``<name>_train.npz``)."""

from typing import Any

import jax
import numpy as np
import optax

from ovs_jax.conversion.rules import to_foreign
from ovs_jax.conversion.sources.zegformer import RULES as ZEGFORMER
from ovs_jax.losses.set_prediction import PairCosts, SetLosses, pair_costs, set_losses
from parity.report import TOLERANCES, Report
from parity.zegformer_reference import (
    WEIGHTS,
    Targets,
    ZegFormerReference,
    padded_images,
    training_targets,
)

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]
NOISE_FACTOR = 10.0
"""How many times its own float32 noise the reference's README allows."""
ZERO_GRADIENT = 1e-5
"""A gradient below this share of the norm of all is compared as if it were as large: some are zero
in exact arithmetic (queries and keys of the first layer, whose values are all the same)."""


def check_losses(reference: ZegFormerReference, report: Report) -> None:
    """Compares costs, assignments and losses, on the reference's own predictions."""
    arrays = reference.arrays("train")
    if arrays is None:
        return
    file = f"{reference.name}_train"
    batch = training_targets(arrays)
    prefixes = ["train"]
    while f"train.aux{len(prefixes) - 1}.pred_masks" in arrays:
        prefixes.insert(-1, f"train.aux{len(prefixes) - 1}")
    logits, masks = (
        np.stack([arrays[f"{prefix}.{name}"] for prefix in prefixes])
        for name in ("pred_logits", "pred_masks")
    )

    @jax.jit
    def run(*given: jax.Array) -> tuple[SetLosses, PairCosts]:
        logits, masks, classes, targets = given
        wanted = {"classes": classes, "targets": targets, "weights": WEIGHTS}
        return set_losses(logits, masks, **wanted), pair_costs(logits, masks, **wanted)

    losses, costs = run(logits, masks, batch.classes, batch.targets)
    _check_matching(file, arrays, batch, costs, losses, report)
    _check_losses(file, arrays, losses, report)
    for name in arrays:
        if name.startswith("noise."):
            report.skip(file, name, "the tolerance")


def check_gradients(reference: ZegFormerReference, report: Report) -> None:
    """Compares the loss and its gradients from the images on, end to end."""
    arrays = reference.arrays("train")
    if arrays is None or not reference.holds(""):
        return
    file = f"{reference.name}_train"
    batch = training_targets(arrays)
    (total, losses), gradients = reference.gradients(
        reference.model[1].params,
        (padded_images(arrays), batch.classes, batch.targets),
        arrays["text_features_train"],
    )
    noise = NOISE_FACTOR * float(arrays["noise.loss_rel_f32_vs_f64"])
    relative(report, file, "loss_total", total, arrays["loss_total"], noise)
    for k, (layer, _) in enumerate(layer_names(len(losses.mask))):
        for i in range(len(batch.counts)):
            queries = np.asarray(losses.queries)[k, i]
            _check_assignment(file, f"match.{layer}.b{i}", arrays, queries, report)
    _check_gradients(file, arrays, gradients, report)


def layer_names(layers: int) -> list[tuple[str, str]]:
    """What the reference calls each decoder layer: in matchings, and after its losses."""
    return [(f"aux{k}", f"_{k}") for k in range(layers - 1)] + [("final", "")]


def relative(report: Report, file: str, array: str, ours: Any, want: Any, tolerance: float) -> None:
    """Records a difference as a share of the reference."""
    want = float(want)
    error = abs(float(ours) - want) / max(abs(want), 1e-12)
    report.record(file, array, error, tolerance, "relative")


def _check_matching(
    file: str,
    arrays: dict[str, np.ndarray],
    batch: Targets,
    costs: PairCosts,
    losses: SetLosses,
    report: Report,
) -> None:
    parts = {
        "cost": costs.total,
        "cost_focal": costs.focal,
        "cost_dice": costs.dice,
        "cost_class": costs.classification,
    }
    for k, (layer, _) in enumerate(layer_names(len(losses.mask))):
        for i, count in enumerate(batch.counts):
            prefix = f"match.{layer}.b{i}"
            for part, value in parts.items():
                if f"{prefix}.{part}" in arrays:
                    ours = np.asarray(value)[k, i, :, :count]
                    report.compare(
                        file, f"{prefix}.{part}", ours, arrays[f"{prefix}.{part}"], MODEL
                    )
            _check_assignment(file, prefix, arrays, np.asarray(losses.queries)[k, i], report)


def _check_assignment(
    file: str, prefix: str, arrays: dict[str, np.ndarray], queries: np.ndarray, report: Report
) -> None:
    rows, columns = arrays[f"{prefix}.query_idx"], arrays[f"{prefix}.target_idx"]
    order = np.argsort(columns)
    cost = arrays[f"{prefix}.cost"]
    mine = queries[: cost.shape[1]]
    wrong = int((mine != rows[order]).sum())
    note = ""
    if wrong:
        gap = cost[mine, np.arange(len(mine))].sum() - cost[rows, columns].sum()
        note = f"another assignment, {gap:.2e} dearer"
        wrong = 0 if abs(gap) < MODEL else wrong
    report.record(file, f"{prefix}.query_idx", wrong, EXACT, note)
    padding = int((queries[cost.shape[1] :] >= 0).sum())
    report.record(file, f"{prefix}.target_idx", padding, EXACT, "padding is never matched")


def _check_losses(
    file: str, arrays: dict[str, np.ndarray], losses: SetLosses, report: Report
) -> None:
    noise = NOISE_FACTOR * float(arrays["noise.loss_rel_f32_vs_f64"])
    parts = {
        "loss_ce": (losses.classification, WEIGHTS.classification),
        "loss_mask": (losses.mask, WEIGHTS.mask),
        "loss_dice": (losses.dice, WEIGHTS.dice),
    }
    for k, (_, suffix) in enumerate(layer_names(len(losses.mask))):
        for part, (value, weight) in parts.items():
            name = f"{part}{suffix}"
            raw, weighted = f"loss_raw.{name}", f"loss_weighted.{name}"
            relative(report, file, raw, value[k], arrays[raw], noise)
            relative(report, file, weighted, weight * value[k], arrays[weighted], noise)
    total = losses.total(WEIGHTS)
    relative(report, file, "loss_total", total, arrays["loss_total"], noise)


def _check_gradients(
    file: str, arrays: dict[str, np.ndarray], gradients: Any, report: Report
) -> None:
    tolerance = NOISE_FACTOR * float(arrays["noise.grad_relmax_f32_vs_f64"])
    ours = to_foreign(gradients, ZEGFORMER)
    norm = float(arrays["grad_global_norm"])
    for name in [name for name in arrays if name.startswith("grad.")]:
        want = arrays[name]
        mine = ours.get(name.removeprefix("grad."))
        if mine is None or mine.shape != want.shape:
            report.record(file, name, np.inf, tolerance, "we have no gradient for it")
            continue
        largest = max(float(np.abs(want).max()), ZERO_GRADIENT * norm)
        error = float(np.abs(mine - want).max()) / largest
        report.record(file, name, error, tolerance, "of the largest element")
    names = [str(name) for name in arrays["gradnorm_names"]]
    stored = dict(zip(names, arrays["gradnorm_values"].tolist(), strict=True))
    differ = sorted({name for name, value in stored.items() if value >= 0} ^ set(ours))
    report.record(file, "gradnorm_names", len(differ), EXACT, " ".join(differ[:3]))
    for name, value in stored.items():
        if value < 0 or name not in ours:
            continue
        error = abs(float(np.linalg.norm(ours[name])) - value) / max(value, ZERO_GRADIENT * norm)
        report.record(file, f"gradnorm_values[{name}]", error, tolerance, "relative")
    report.record(file, "gradnorm_values", 0.0, tolerance, "each norm on its own line")
    relative(report, file, "grad_global_norm", optax.tree.norm(gradients), norm, tolerance)
