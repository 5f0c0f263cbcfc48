"""Group maps, class maps and labels, whole and with sliding windows (``seg.npz``)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.evaluation.painting import (
    add_background,
    group_scores,
    inverse_temperature,
    paint,
    pixel_groups,
    rescale,
    upsample_maps,
)
from ovs_jax.evaluation.sliding import window_boxes
from ovs_jax.models.groupvit.encoder import group_maps
from ovs_jax.nn import functional
from parity.reference import Reference
from parity.report import TOLERANCES, Report

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]
HALF = 1e-3  # arrays that the reference stores in float16


def check_segmentation(reference: Reference, report: Report) -> None:
    """Compares everything in ``seg.npz``."""
    arrays = reference.arrays("seg")
    if arrays is None:
        return
    file = f"{reference.name}/seg"
    image = reference.image(arrays["image"])
    for name in ("image", "text_embedding", "ori_shape"):
        report.skip(file, name, "an input")
    static, converted = reference.model
    model = functional.bind(static, converted.params, converted.stats)
    _check_maps(reference, file, arrays, model, image, report)

    window, stride = reference.config["slide"]
    height, width = image.shape[1:3]
    boxes = window_boxes(height, width, window=window, stride=stride)
    if "slide_boxes_y1x1y2x2" in arrays:
        report.compare(file, "slide_boxes_y1x1y2x2", boxes, arrays["slide_boxes_y1x1y2x2"], EXACT)
    whole = ((0, 0, height, width),)
    for mode, places in (("whole", whole), ("slide", boxes)):
        windows = np.concatenate([image[:, t:b, x:r] for t, x, b, r in places])
        features = jax.jit(model.segment_features)(windows)
        scores = group_scores(
            features.image_embedding,
            features.group_embeddings,
            jnp.asarray(arrays["text_embedding"]),
            scale=inverse_temperature(model.logit_scale[...]),
        )
        groups = pixel_groups(features.group_maps, windows.shape[1:3])
        settings = {name.split(f".{mode}.")[0] for name in arrays if f".{mode}." in name}
        for setting in sorted(settings):
            table = scores
            if setting != "nobg":
                table = add_background(scores, float(setting.removeprefix("bg")))
            painted = np.asarray(paint(groups, table))
            total = _merge(painted, places, (height, width))
            _check_labels(file, f"{setting}.{mode}", total, arrays, report)
    report.account(file, set(arrays))


def _merge(painted: np.ndarray, places: Any, size: tuple[int, int]) -> np.ndarray:
    """Averages overlapping windows."""
    total = np.zeros((*size, painted.shape[-1]), np.float64)
    count = np.zeros((*size, 1))
    for scores, (top, left, bottom, right) in zip(painted, places, strict=True):
        total[top:bottom, left:right] += scores
        count[top:bottom, left:right] += 1
    return (total / count).astype(np.float32)


def _check_labels(
    file: str, name: str, total: np.ndarray, arrays: dict[str, np.ndarray], report: Report
) -> None:
    if f"{name}.logits" in arrays:
        want = arrays[f"{name}.logits"]
        ours, want, left_out = _same_paint(total.transpose(2, 0, 1), want)
        report.compare(file, f"{name}.logits", ours, want, MODEL, left_out)
    if f"{name}.label_ori" not in arrays:
        return
    height, width = (int(side) for side in arrays["ori_shape"])
    resized = np.asarray(rescale(jnp.asarray(total)[None], (height, width)))[0]
    probabilities = np.asarray(jax.nn.softmax(resized, axis=-1))
    labels, want = probabilities.argmax(-1), arrays[f"{name}.label_ori"]
    ours_margin = -np.diff(-np.sort(-probabilities, axis=-1)[..., :2], axis=-1)[..., 0]
    margin = arrays.get(f"{name}.margin_ori", ours_margin).astype(np.float32)
    clear = margin > MODEL
    report.compare(
        file,
        f"{name}.label_ori",
        np.where(clear, labels, want),
        want,
        EXACT,
        f"{int((~clear).sum())} pixels without a margin left out" if not clear.all() else "",
    )
    if f"{name}.margin_ori" in arrays:
        report.compare(
            file, f"{name}.margin_ori", ours_margin, arrays[f"{name}.margin_ori"], HALF, "float16"
        )


def _same_paint(ours: np.ndarray, want: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Lets out pixels whose two best groups are equal up to rounding, if there are very few."""
    different = (np.abs(ours - want) > MODEL).any(0)
    count = int(different.sum())
    if 0 < count <= different.size // 10_000:
        return np.where(different, want, ours), want, f"{count} pixels between groups left out"
    return ours, want, ""


def _check_maps(
    reference: Reference,
    file: str,
    arrays: dict[str, np.ndarray],
    model: Any,
    image: np.ndarray,
    report: Report,
) -> None:
    """The pixel-to-group maps, composed up to each stage."""
    patch = reference.config["patch"]
    size = image.shape[1:3]
    assignments = jax.jit(model.encode_image)(image).assignments
    names = {"attn_map_last_whole": len(assignments)}
    names |= {f"attn_map_stage{i}_whole": i + 1 for i in range(len(assignments))}
    for name, stages in names.items():
        if name in arrays:
            maps = group_maps(assignments[:stages], size[0] // patch, size[1] // patch)
            half = arrays[name].dtype == np.float16
            ours = upsample_maps(maps, size)[0]
            report.compare(file, name, ours, arrays[name], HALF if half else MODEL)
