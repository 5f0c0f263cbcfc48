"""What surrounds ZegFormer: the evaluator, the augmentation, and CLIP."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.conversion.rules import Converted, to_ours
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.sources import clip as clip_source
from ovs_jax.data.label_transforms import (
    change_brightness,
    change_contrast,
    change_hue,
    change_saturation,
    resize_image,
    resize_label,
    short_edge_size,
)
from ovs_jax.evaluation.confusion import Confusion, count_pixels, encode_truth
from ovs_jax.evaluation.gzs3 import ZeroShotScores
from ovs_jax.evaluation.regions import embed_regions
from ovs_jax.evaluation.text_bank import synonym_embeddings
from ovs_jax.models.text.clip import end_of_text_mask
from ovs_jax.models.vision.clip import Clip
from ovs_jax.nn import functional
from ovs_jax.text.prompts import templates
from ovs_jax.text.tokenizers import load_tokenizer
from parity.report import TOLERANCES, Report

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]
VOCABULARY = "CLIP_VOCABULARY"
"""The environment variable that names CLIP's ``bpe_simple_vocab_16e6.txt.gz``, which is not ours to
ship; without it texts are compared from their token ids on."""

_count = jax.jit(count_pixels, static_argnames="classes")


def check_evaluator(folder: Path, report: Report) -> None:
    """Compares ``evaluator.npz``."""
    path = folder / "evaluator.npz"
    if not path.exists():
        return
    arrays = dict(np.load(path))
    for case in sorted({key.split(".")[0] for key in arrays}):
        names = arrays[f"{case}.class_names"].tolist()
        images = range(sum(key.startswith(f"{case}.gt") for key in arrays))
        labels = [arrays[f"{case}.gt{i}"].astype(np.int32) for i in images]
        truth = [encode_truth(label, classes=len(names)).ravel() for label in labels]
        predicted = [arrays[f"{case}.pred{i}"].astype(np.int32).ravel() for i in images]
        both = (jnp.asarray(np.concatenate(parts)) for parts in (truth, predicted))
        total = Confusion(np.asarray(_count(*both, classes=len(names)), np.int64))
        want = arrays[f"{case}.conf"]
        report.compare(path.stem, f"{case}.conf", total.counts[:-1], want[:-1, :-1].T, EXACT)
        unseen = tuple(sorted(names.index(n) for n in arrays[f"{case}.unseen"].tolist()))
        scores = ZeroShotScores(total, unseen)
        ours = {
            "mIoU": scores.mean_iou,
            "fwIoU": scores.frequency_weighted_iou,
            "mACC": scores.mean_accuracy,
            "pACC": scores.pixel_accuracy,
            "seen_IoU": scores.seen_iou,
            "unseen_IoU": scores.unseen_iou,
            "harmonic mean": scores.harmonic_iou,
            **{f"IoU-{name}": value for name, value in zip(names, scores.iou, strict=True)},
            **{f"ACC-{n}": v for n, v in zip(names, scores.confusion.accuracy, strict=True)},
        }
        found = [100 * ours[str(name)] for name in arrays[f"{case}.metric_names"]]
        values = arrays[f"{case}.metric_values"]
        report.compare(path.stem, f"{case}.metric_values", np.asarray(found), values, 1e-9)
        for key in arrays:
            if key.startswith((f"{case}.gt", f"{case}.pred", f"{case}.class", f"{case}.unseen")):
                report.skip(path.stem, key, "an input")
        report.skip(path.stem, f"{case}.metric_names", "the names of what is compared")


def check_augmentation(folder: Path, report: Report) -> None:
    """Compares ``augment.npz``, bit for bit."""
    path = folder / "augment.npz"
    if not path.exists():
        return
    arrays = dict(np.load(path))
    table = arrays["resize_table"]
    ours = [short_edge_size(*row[:2], short=row[2], longest=row[3]) for row in table.tolist()]
    report.compare(path.stem, "resize_table", np.asarray(ours), table[:, 4:], EXACT)
    image, size = arrays["image_rgb"], tuple(arrays["resize_hw"].tolist())
    label = resize_label(arrays["seg"].astype(np.int32), size)
    report.compare(path.stem, "resized_seg", label, arrays["resized_seg"], EXACT)
    report.compare(
        path.stem, "resized_image", resize_image(image, size), arrays["resized_image"], EXACT
    )
    change: dict[str, Callable[[str], Any]] = {
        "brightness": lambda x: change_brightness(image, float(x)),
        "contrast": lambda x: change_contrast(image, float(x)),
        "saturation": lambda x: change_saturation(image, float(x)),
        "hue": lambda x: change_hue(image, int(x)),
    }
    for key, want in arrays.items():
        if key.startswith("aug."):
            name, amount = key.removeprefix("aug.").removesuffix(".rgb").split("_")
            report.compare(path.stem, key, change[name](amount), want, EXACT)
    for key in ("image_rgb", "seg", "resize_hw"):
        report.skip(path.stem, key, "an input")


def read_clip(folder: Path) -> tuple[Any, Converted] | None:
    """The static CLIP and its parameters from ``clip_weights.npz``, if the folder has it."""
    path = folder / "clip_weights.npz"
    if not path.exists():
        return None
    state = {name: array.astype(np.float32) for name, array in np.load(path).items()}
    used = state.pop("token_embedding.used_ids").astype(int)
    rows = state.pop("token_embedding.used_rows")
    table = np.zeros((49408, rows.shape[1]), np.float32)
    table[used] = rows
    state["token_embedding.weight"] = table
    config = clip_source.config(Sizes({name: array.shape for name, array in state.items()}))
    static, params, stats = functional.abstract(lambda rngs: Clip(config, rngs=rngs))
    return static, to_ours(state, clip_source.RULES, params=params, stats=stats)


def check_clip(folder: Path, report: Report) -> None:
    """Compares ``clip_golden.npz``, and what CLIP makes of masks and class names elsewhere."""
    read = read_clip(folder)
    if read is None:
        return
    static, converted = read
    clip = functional.bind(static, converted.params, converted.stats)
    for name in np.load(folder / "clip_weights.npz").files:
        report.skip("clip_weights", name, "an input")
    path = folder / "clip_golden.npz"
    if path.exists():
        _check_encoders(clip, dict(np.load(path)), report)
    for path in sorted(folder.glob("*_infer.npz")):
        _check_regions(clip, path, report)
    _check_class_embeddings(clip, folder, report)


def _check_encoders(clip: Clip, arrays: dict[str, np.ndarray], report: Report) -> None:
    file = "clip_golden"
    image = arrays["image_small"].repeat(16, axis=2).repeat(16, axis=3).transpose(0, 2, 3, 1)
    report.compare(file, "encode_image", clip.embed_image(image), arrays["encode_image"], MODEL)
    ids = jnp.asarray(arrays["tokens"])
    text = clip.embed_text({"ids": ids, "mask": end_of_text_mask(ids)})
    report.compare(file, "encode_text", text, arrays["encode_text"], MODEL)
    sizes = [len(templates(name)) for name in ("full", "scene_subset", "regions")]
    report.compare(file, "n_templates", sizes, arrays["n_templates"], EXACT)
    if VOCABULARY in os.environ:
        tokenizer = load_tokenizer(f"clip:{os.environ[VOCABULARY]}")
        tokens, _ = tokenizer(arrays["texts"].tolist(), length=arrays["tokens"].shape[1])
        report.compare(file, "tokens", tokens, arrays["tokens"], EXACT)
    for name in arrays:
        if name.endswith("_fp16"):
            report.skip(file, name, "half precision of the reference; ours is float32")
        elif name in ("texts", "tokens", "image_small"):
            report.skip(file, name, "an input")


def _check_regions(clip: Clip, path: Path, report: Report) -> None:
    """The features of the masks, from the image to CLIP's output."""
    arrays = dict(np.load(path))
    if "clip_padded_images" not in arrays:
        return
    embed = jax.jit(
        lambda image, masks, style: embed_regions(clip.embed_image, image, masks, style=style),
        static_argnums=2,
    )
    for i in range(len(arrays["pred_masks"])):
        image = arrays["clip_padded_images"][i].transpose(1, 2, 0)
        for name, style in (("cropmask", "crop_mask"), ("crop", "crop"), ("mask", "mask")):
            key = f"clip_in.{name}.feat{i}"
            if key in arrays:
                found = embed(image, arrays["pred_masks"][i], style)
                report.compare(path.stem, key, found, arrays[key], MODEL)


def _check_class_embeddings(clip: Clip, folder: Path, report: Report) -> None:
    """The texts of the class names, where there is a vocabulary to write them with."""
    paths = [path for path in sorted(folder.glob("*_infer.npz")) if VOCABULARY in os.environ]
    encode = jax.jit(lambda ids, mask: clip.embed_text({"ids": ids, "mask": mask}))
    for path in paths:
        arrays = dict(np.load(path))
        tokenizer = load_tokenizer(f"clip:{os.environ[VOCABULARY]}")
        # Which prompts the segment branch has is not stored: one of the sets must fit.
        sets = {"text_features_test_clip": ("regions",)}
        sets["text_features_test"] = ("scene", "scene_subset", "full")
        for key, known in sets.items():
            found = [
                synonym_embeddings(
                    encode,
                    arrays["class_names"].tolist(),
                    templates=templates(name),
                    tokenizer=tokenizer,
                    length=77,
                )
                for name in known
            ]
            off = [float(np.abs(unit - arrays[key]).max()) for unit in found]
            best = int(np.argmin(off))
            report.record(path.stem, key, off[best], MODEL, f"prompts '{known[best]}'")


PIECE_CHECKS: tuple[Callable[[Path, Report], None], ...] = (
    check_evaluator,
    check_augmentation,
    check_clip,
)
"""To be run on a folder of reference numbers."""
