"""Names, backbone, pixel decoder, transformer and heads of ZegFormer."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np

from ovs_jax.conversion.rules import to_foreign
from ovs_jax.conversion.sources.zegformer import RULES as ZEGFORMER
from ovs_jax.models.zegformer.model import PixelFeatures, Predictions, SegmentQueries, ZegFormer
from ovs_jax.models.zegformer.transformer import sine_positions
from ovs_jax.nn import functional
from parity.report import TOLERANCES, Report
from parity.zegformer_reference import ZegFormerReference, padded_images

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]
BIAS = "sem_seg_head.pixel_decoder.mask_features.bias"


def scaled(
    report: Report, file: str, array: str, ours: object, arrays: dict[str, np.ndarray]
) -> None:
    """Compares at 1e-4 of the array's largest value (of 1, where that is larger).

    The logits of classes are cosines times a hundred: their unit is not one.
    """
    scale = max(1.0, float(np.abs(arrays[array]).max(initial=0.0)))
    report.compare(
        file,
        array,
        np.asarray(ours) / scale,
        arrays[array] / scale,
        MODEL,
        f"in units of {scale:.3g}",
    )


def check_names(reference: ZegFormerReference, report: Report) -> None:
    """The parameters must come back bit for bit under the reference's names."""
    _, converted = reference.model
    back = to_foreign(converted.params, ZEGFORMER) | to_foreign(converted.stats, ZEGFORMER)
    file = f"{reference.name}_weights"
    for name, array in reference.state.items():
        if name in converted.ignored:
            report.skip(file, name, f"not part of the model: {converted.ignored[name]}")
        else:
            report.compare(file, name, back[name], array, EXACT)


def check_parts(reference: ZegFormerReference, report: Report) -> None:
    """Compares backbone, pixel decoder and predictor, each on the reference's own inputs to it."""
    arrays = reference.arrays("train")
    if arrays is None:
        return
    file = f"{reference.name}_train"
    images = padded_images(arrays)
    report.compare(file, "padded_size", images.shape[1:3], arrays["padded_size"], EXACT)
    if "norm_padded_images.sub" in arrays:
        first, want = images.transpose(0, 3, 1, 2)[:, :, ::7, ::7], arrays["norm_padded_images.sub"]
        report.compare(file, "norm_padded_images.sub", first, want, TOLERANCES["module"])
    static, converted = reference.model

    def part(name: str, run: Callable[..., Any], *inputs: np.ndarray) -> Any:
        if not reference.holds(name):
            return None
        # What is bound inside the traced function is dropped where the part does not use it.
        return jax.jit(
            lambda *x: run(functional.bind(static, converted.params, converted.stats), *x)
        )(*inputs)

    def compare(prefix: str, ours: dict[str, Any]) -> None:
        for name, value in ours.items():
            if f"{prefix}{name}" in arrays:
                scaled(report, file, f"{prefix}{name}", value, arrays)

    levels = part("backbone.", lambda model, x: model.backbone(x), images)
    if levels is not None:
        compare("backbone.", {f"res{i}": _first(x) for i, x in enumerate(levels, start=2)})
    names = [f"backbone.res{i}" for i in (2, 3, 4, 5)]
    if all(name in arrays for name in names):
        inputs = [_last(arrays[name]) for name in names]
        pixels = part("sem_seg_head.pixel_decoder.", lambda m, *x: m.pixel_decoder(x), *inputs)
        if pixels is not None:
            both = {"mask_features": _first(pixels[0])}
            both["transformer_encoder_features"] = _first(pixels[1])
            compare("pixel_decoder.", both)
    seen = "pixel_decoder.transformer_encoder_features"
    source = _last(arrays[seen if seen in arrays else "backbone.res5"])
    found = part("sem_seg_head.predictor.", _predictor, source, arrays["text_features_train"])
    if found is not None:
        projected, queries, logits = found
        rows, cols, width = projected.shape[1:]
        positions = sine_positions(rows, cols, width).reshape(1, rows, cols, width)
        ours = {
            "src": _first(projected),
            "pos": _first(np.broadcast_to(positions, projected.shape)),
            "memory": _first(queries.memory.reshape(projected.shape)),
            "hs": queries.hidden,
            "proj": queries.embedding,
            "mask_embed": queries.mask_embedding,
        }
        compare("predictor.", ours)
        compare("train.", _by_layer("pred_logits", logits))


def _predictor(
    model: ZegFormer, source: jax.Array, classes_unit: jax.Array
) -> tuple[jax.Array, SegmentQueries, jax.Array]:
    pixels = PixelFeatures(levels=(), mask_features=source, source=source)
    queries = model.segment_queries(pixels)
    logits = model.class_head(queries.embedding, classes_unit)
    return model.project_source(source), queries, logits


def _by_layer(name: str, values: jax.Array) -> dict[str, jax.Array]:
    layers = {f"aux{k}.{name}": value for k, value in enumerate(values[:-1])}
    return layers | {name: values[-1]}


def check_networks(reference: ZegFormerReference, report: Report) -> None:
    """Compares predictions from the images on, end to end."""
    arrays = reference.arrays("train")
    if arrays is None or not reference.holds(""):
        return
    file = f"{reference.name}_train"
    predicted = _run(reference, arrays, "text_features_train", layers="all")
    ours = _by_layer("pred_logits", predicted.logits) | _by_layer("pred_masks", predicted.masks)
    for name, value in ours.items():
        scaled(report, file, f"train.{name}", value, arrays)
    for name in arrays:
        if name.startswith("in.") or name == "text_features_train":
            report.skip(file, name, "an input")


def check_inference(reference: ZegFormerReference, report: Report) -> None:
    """Compares the logits and masks of ``<name>_infer.npz``, before any inference logic."""
    arrays = reference.arrays("infer")
    if arrays is None or not reference.holds(""):
        return
    file = f"{reference.name}_infer"
    predicted = _run(reference, arrays, "text_features_test", layers="last")
    scaled(report, file, "pred_logits", predicted.logits[-1], arrays)
    scaled(report, file, "pred_masks", predicted.masks[-1], arrays)
    for name in arrays:
        if name.startswith(("in.", "override.")) or name == "text_features_test":
            report.skip(file, name, "an input")


def _run(
    reference: ZegFormerReference,
    arrays: dict[str, np.ndarray],
    texts: str,
    *,
    layers: Literal["all", "last"],
) -> Predictions:
    static, converted = reference.model
    params = functional.paths(converted.params)
    if f"override.{BIAS}" in arrays:
        params["pixel_decoder/mask_features/bias"] = arrays[f"override.{BIAS}"]

    @jax.jit
    def run(images: jax.Array, classes_unit: jax.Array) -> Predictions:
        model: ZegFormer = functional.bind(static, functional.nest(params), converted.stats)
        return model(images, classes_unit, layers=layers)

    return run(padded_images(arrays), arrays[texts])


def _first(x: Any) -> np.ndarray:
    """Channels first, as the reference has them."""
    return np.moveaxis(np.asarray(x), -1, 1)


def _last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)
