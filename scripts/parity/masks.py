"""Maps, matching and dice of the mask consistency loss (``stage2*.npz``)."""

import jax.numpy as jnp
import numpy as np

from ovs_jax.losses.mask_consistency import MaskSteps, mask_consistency_steps, upsample
from ovs_jax.training.objectives import Forward
from parity.reference import Reference
from parity.report import TOLERANCES, Report

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]


def check_masks(
    reference: Reference, file: str, arrays: dict[str, np.ndarray], done: Forward, report: Report
) -> None:
    """Compares both directions of the loss, step by step."""
    size, grid = reference.config["mask_up"], reference.config["mask_grid"]
    steps = [
        mask_consistency_steps(
            pair.predicted, pair.target, detached=pair.detached, grid=(grid, grid), size=size
        )
        for pair in done.pairs
    ]
    for prefix, pair, step in zip(("mask/", "mask/dual_"), done.pairs, steps, strict=False):
        ours = {"attn_target": pair.target, "attn_pred": pair.predicted}
        if prefix == "mask/":
            ours |= {"noun_x": pair.entity, "cost": step.cost, "dice_per_image": step.dice}
        for name, value in ours.items():
            if prefix + name in arrays:
                report.compare(file, prefix + name, value, arrays[prefix + name], MODEL)
        if prefix + "idx2" in arrays:
            report.compare(file, prefix + "idx2", step.assignment, arrays[prefix + "idx2"], EXACT)
    if "mask/dual_loss_terms" in arrays:
        terms = [step.dice.sum() / step.cost.shape[1] for step in steps]
        report.compare(
            file, "mask/dual_loss_terms", np.stack(terms), arrays["mask/dual_loss_terms"], MODEL
        )
    if "mask/idx1" in arrays:
        rows = np.broadcast_to(np.arange(steps[0].cost.shape[1]), arrays["mask/idx1"].shape)
        report.compare(file, "mask/idx1", rows, arrays["mask/idx1"], EXACT)
        _check_mask_pixels(file, arrays, done, steps[0], (grid, size), report)


def _check_mask_pixels(
    file: str,
    arrays: dict[str, np.ndarray],
    done: Forward,
    steps: MaskSteps,
    sizes: tuple[int, int],
    report: Report,
) -> None:
    grid, size = sizes
    pair = done.pairs[0]
    groups = jnp.einsum("bge,be->bg", done.group_embeddings, pair.entity)
    report.compare(file, "mask/group_logits", groups, arrays["mask/group_logits"], MODEL)
    marked = np.stack(
        [np.isin(np.arange(groups.shape[1]), row) for row in arrays["mask/detached_groups"]]
    )
    report.compare(file, "mask/detached_groups", pair.detached, marked, EXACT)
    for name, maps in (("mask1_up_before", pair.predicted), ("mask2_up_before", pair.target)):
        want = arrays.get(f"mask/{name}")
        if want is None:
            continue
        first = maps[: want.shape[0], : want.shape[1]].reshape(*want.shape[:2], grid, grid)
        report.compare(file, f"mask/{name}", upsample(first, size), want, MODEL)
    want = arrays.get("mask/mask1_minmax_matched")
    if want is not None:
        ours = steps.predicted[: want.shape[0], : want.shape[1]]
        report.compare(file, "mask/mask1_minmax_matched", ours, want, MODEL)
    bits = np.unpackbits(arrays["mask/target_bits"], axis=-1)[..., : size * size]
    target = np.asarray(steps.target).reshape(bits.shape)
    clear = np.asarray(steps.target_margin).reshape(bits.shape) > MODEL
    report.compare(
        file,
        "mask/target_bits",
        np.where(clear, target, bits),
        bits,
        EXACT,
        f"{int((~clear).sum())} pixels on their threshold left out",
    )
    unclear = (~clear).sum(-1)
    counts = arrays["mask/target_pos_count"]
    excess = np.maximum(np.abs(target.sum(-1) - counts) - unclear, 0).max()
    report.record(file, "mask/target_pos_count", excess, EXACT)
    report.compare(
        file,
        "mask/target_margin_min",
        steps.target_margin.min(),
        arrays["mask/target_margin_min"],
        MODEL,
    )
    report.record(file, "mask/assignment_gap", _assignment_gap(steps, arrays), MODEL)


def _assignment_gap(steps: MaskSteps, arrays: dict[str, np.ndarray]) -> float:
    """How far our total cost is from the reference's optimum."""
    chosen = np.take_along_axis(arrays["mask/cost"], arrays["mask/idx2"][:, :, None], 2).sum((1, 2))
    ours = np.take_along_axis(
        np.asarray(steps.cost), np.asarray(steps.assignment)[:, :, None], 2
    ).sum((1, 2))
    return float(np.abs(chosen - ours).max() / max(1.0, np.abs(chosen).max()))
