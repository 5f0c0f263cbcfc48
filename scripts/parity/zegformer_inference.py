"""What follows ZegFormer's network: regions, classification, painting (``*_infer``, ``roi_align``).

Masks that are stored with fewer digits than they were used with say how little is known of a pixel
on the edge: such pixels are told from the others, and left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.proposals import Fusion, FusionKind, image_logits, mask_classes
from ovs_jax.evaluation.regions import (
    CLIP_MEAN,
    CLIP_STD,
    RegionStyle,
    align,
    inside,
    mask_boxes,
    region_inputs,
    resize,
)
from parity.report import TOLERANCES, Report

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]
STRIDE = 32
STYLES: dict[str, RegionStyle] = {"cropmask": "crop_mask", "crop": "crop", "mask": "mask"}
KINDS: dict[str, FusionKind] = {
    "seg": "segment",
    "img": "image",
    "ens": "ensemble",
    "ensall": "ensemble_all",
}
SAMPLES = {14: slice(3, None, 16), 28: slice(None, None, 8)}
"""Which pixels of 224 the stored parts of CLIP's input are, by how many there are."""
_align = jax.jit(align)
_boxes = jax.jit(lambda masks: mask_boxes(inside(masks)))
_resize = jax.jit(lambda masks, size: resize(masks[..., None], size)[..., 0], static_argnums=1)
_inputs = jax.jit(region_inputs, static_argnames="style")


def check_inference_logic(folder: Path, report: Report) -> None:
    """Compares ``infer_synthetic.npz`` and every ``<model>_infer.npz``."""
    for path in sorted(folder.glob("*_infer.npz")):
        arrays = dict(np.load(path))
        if "pred_masks" in arrays:
            _check_case(
                _Case(path.stem, "", arrays, images="in.image", sizes="in.out_sizes"), report
            )
    path = folder / "infer_synthetic.npz"
    if path.exists():
        arrays = dict(np.load(path))
        for name in arrays:
            if name.endswith(".pred_masks"):
                prefix = name.removesuffix("pred_masks")
                case = _Case(path.stem, prefix, arrays, images="image", sizes="out_sizes")
                _check_case(case, report)


def check_roi_align(folder: Path, report: Report) -> None:
    """Compares ``roi_align.npz``."""
    path = folder / "roi_align.npz"
    if not path.exists():
        return
    arrays = dict(np.load(path))
    for name in sorted({key.split(".")[0] for key in arrays}):
        image = arrays[f"{name}.image"].transpose(1, 2, 0).astype(np.float32) / 128 - 1
        boxes = arrays[f"{name}.boxes_xyxy"].astype(np.int32)
        found = _channels_first(_align(image[None], boxes))
        ours = {"out_sub": found[:, :, ::9, ::9], "out_mean": found.mean((2, 3))}
        for key, value in ours.items():
            report.compare(path.stem, f"{name}.{key}", value, arrays[f"{name}.{key}"], MODEL)
        for key in ("image", "boxes_xyxy"):
            report.skip(path.stem, f"{name}.{key}", "an input")


@dataclass(frozen=True)
class _Case:
    """Network outputs of two images with everything that was made of them."""

    file: str
    prefix: str
    arrays: dict[str, np.ndarray]
    images: str
    sizes: str

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name if name in self.arrays else self.prefix + name]

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.arrays

    def names(self) -> list[str]:
        """Those of the case, without its prefix."""
        return [
            name.removeprefix(self.prefix) for name in self.arrays if name.startswith(self.prefix)
        ]

    @property
    def images_count(self) -> int:
        return len(self["pred_masks"])

    def size(self, i: int) -> tuple[int, int]:
        height, width = self[f"{self.images}{i}"].shape[1:]
        return height, width

    @property
    def padded(self) -> tuple[int, int]:
        sizes = [self.size(i) for i in range(self.images_count)]
        height, width = (-(-max(s[axis] for s in sizes) // STRIDE) * STRIDE for axis in (0, 1))
        return height, width

    @property
    def unseen(self) -> np.ndarray:
        return np.isin(np.arange(len(self["class_names"])), self["unseen_indexes"])

    def clip_image(self, i: int) -> np.ndarray:
        image = self[f"{self.images}{i}"].transpose(1, 2, 0).astype(np.float32)
        image = (image - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)
        room = [(0, p - s) for p, s in zip(self.padded, self.size(i), strict=True)]
        return np.pad(image, (*room, (0, 0)))

    def rounding(self) -> float:
        """By which share the stored masks may differ from those that were used."""
        return 2.0**-11 if self["pred_masks"].dtype == np.float16 else 2.0**-22


def _check_case(case: _Case, report: Report) -> None:
    if "clip_padded_images" in case:
        ours = np.stack([case.clip_image(i) for i in range(case.images_count)])
        _compare(case, report, "clip_padded_images", _channels_first(ours))
    for i in range(case.images_count):
        _check_regions(case, i, report)
        for name in case.names():
            if name.endswith(f".argmax{i}"):
                _check_variant(case, name.removesuffix(f".argmax{i}"), i, report)
    if "boxes_xyxy" in case:
        _check_boxes(case, report)
    if "mask_logit_min_abs" in case:
        closest = min(np.abs(_full_masks(case, i)[0]).min() for i in range(case.images_count))
        _compare(case, report, "mask_logit_min_abs", closest)
    inputs = ("in.", "image", "pred_", "out_sizes", "override.")
    compared = {check.array for check in report.checks if check.file == case.file}
    for name in case.arrays.keys() - compared:
        known = name.startswith(("class_names", "unseen_", "seen_", "text_features", "clip_logit"))
        if known or name.removeprefix(case.prefix).startswith(inputs):
            report.skip(case.file, name, "an input")


def _full_masks(case: _Case, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits at padded size, and how much each may be off."""
    logits = case["pred_masks"][i].astype(np.float32)

    def full(x: np.ndarray) -> np.ndarray:
        return np.asarray(_resize(x, case.padded))

    return full(logits), full(np.abs(logits)) * case.rounding()


def _check_regions(case: _Case, i: int, report: Report) -> None:
    full, room = _full_masks(case, i)
    image = case.clip_image(i)
    if "mask_area_px" in case:
        area = case["mask_area_px"][i]
        low, high = ((m > 0).sum((1, 2)) for m in (full - room, full + room))
        beyond = np.maximum(np.maximum(area - high, low - area), 0).max()
        report.record(case.file, f"{case.prefix}mask_area_px", float(beyond), EXACT)
    for name, style in STYLES.items():
        key = f"clip_in.{name}"
        if f"{key}.sub{i}" not in case:
            continue
        low, ours, high = (
            _channels_first(_inputs(image, mask, style=style))
            for mask in (full - room, full, full + room)
        )
        sure = (np.abs(low - high) <= MODEL).all(axis=1, keepdims=True)
        want = case[f"{key}.sub{i}"]
        part = SAMPLES[want.shape[-1]]
        clear = sure[:, :, part, part]
        note = f"{int((~clear).sum())} pixels on the edge of a mask left out"
        _compare(
            case, report, f"{key}.sub{i}", np.where(clear, ours[:, :, part, part], want), note=note
        )
        whole, ours = sure.all(axis=(1, 2, 3))[:, None], ours.astype(np.float64)
        for statistic, value in (("mean", ours.mean((2, 3))), ("std", ours.std((2, 3), ddof=1))):
            if f"{key}.{statistic}{i}" in case:
                want = case[f"{key}.{statistic}{i}"]
                note = f"{int((~whole).sum())} masks with such pixels left out"
                _compare(
                    case, report, f"{key}.{statistic}{i}", np.where(whole, value, want), note=note
                )
        for full_key in [
            n for n in case.names() if n.startswith(f"{key}.full_q") and n.endswith(f"_{i}")
        ]:
            query = int(full_key.split("_q")[1].split("_")[0])
            want = case[full_key]
            _compare(case, report, full_key, np.where(sure[query], ours[query], want))


def _check_boxes(case: _Case, report: Report) -> None:
    """Boxes must agree unless a pixel on the edge of a mask decides."""
    found, sure = [], []
    for i in range(case.images_count):
        full, room = _full_masks(case, i)
        low, ours, high = (np.asarray(_boxes(mask)) for mask in (full - room, full, full + room))
        found.append(ours)
        sure.append((low == high).all(axis=-1, keepdims=True))
    want = case["boxes_xyxy"]
    _compare(
        case, report, "boxes_xyxy", np.where(np.stack(sure), np.stack(found), want), tolerance=EXACT
    )


def _check_variant(case: _Case, name: str, i: int, report: Report) -> None:
    """The class of every mask, the scores of every pixel and the best class of it."""
    kind, *rest = name.split("_")
    gamma = next((float(part[2:]) for part in rest if part.startswith("gz")), 0.0)
    style = next((part for part in rest if part in STYLES), "cropmask")
    segment = jnp.asarray(case["pred_logits"][i])
    image = None
    if kind != "seg":
        features = f"clip_in.{style}.feat{i}"
        embeddings = case[features] if features in case else case["image_features"][i]
        image = image_logits(
            jnp.asarray(embeddings),
            jnp.asarray(case["text_features_test_clip"]),
            segment,
            scale=jnp.asarray(case["clip_logit_scale_exp"]),
        )
    fusion = Fusion(KINDS[kind])
    scores = np.asarray(mask_classes(segment, image, unseen=case.unseen, fusion=fusion))
    if f"{name}.mask_cls{i}" in case:
        ours = {"seg": segment, "img": image}.get(kind, scores)
        _compare(case, report, f"{name}.mask_cls{i}", ours)
    height, width = (int(n) for n in case[case.sizes][i])
    painting = MaskPainting(
        logits=case["pred_masks"][i].astype(np.float32),
        mask_scores=scores,
        unseen=case.unseen,
        padded=case.padded,
        size=case.size(i),
        new_size=(height, width),
        gamma=gamma,
    )
    maps = painting.scores()
    room = _score_room(case, i, scores) if case.rounding() > MODEL else 0.0
    if f"{name}.sem_seg{i}" in case:
        off = np.abs(maps - case[f"{name}.sem_seg{i}"]).max()
        note = "beyond the rounding of the stored masks" if room else ""
        report.record(
            case.file, f"{case.prefix}{name}.sem_seg{i}", max(float(off) - room, 0.0), MODEL, note
        )
    if f"{name}.sem_seg_mean{i}" in case:
        _compare(case, report, f"{name}.sem_seg_mean{i}", maps.mean((1, 2)))
    top = np.sort(maps, axis=0)
    clear = top[-1] - top[-2] > MODEL + 2 * room
    want = case[f"{name}.argmax{i}"]
    ours = np.where(clear, painting.labels().labels, want)
    note = f"{int((~clear).sum())} pixels with a margin below the tolerance left out"
    _compare(case, report, f"{name}.argmax{i}", ours, tolerance=EXACT, note=note)
    if f"{name}.margin_lt_1e-4_frac{i}" in case:
        share = case[f"{name}.margin_lt_1e-4_frac{i}"]
        off = max(abs(float((top[-1] - top[-2] < 1e-4).mean()) - float(share)) - 1e-3, 0.0)
        key = f"{case.prefix}{name}.margin_lt_1e-4_frac{i}"
        report.record(case.file, key, off, MODEL, "beyond a thousandth of the pixels")


def _score_room(case: _Case, i: int, scores: np.ndarray) -> float:
    """How much a score can change by the rounding of the stored masks."""
    full, room = _full_masks(case, i)
    share = 1 / (1 + np.exp(-full))
    return float(np.einsum("qc,qhw->chw", scores, share * (1 - share) * room).max())


def _compare(
    case: _Case,
    report: Report,
    name: str,
    ours: object,
    *,
    tolerance: float = MODEL,
    note: str = "",
) -> None:
    report.compare(case.file, case.prefix + name, ours, case[name], tolerance, note)


def _channels_first(x: object) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 1)


INFERENCE_CHECKS: tuple[Callable[[Path, Report], None], ...] = (
    check_roi_align,
    check_inference_logic,
)
"""To be run on a folder of reference numbers."""
