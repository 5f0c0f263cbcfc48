"""Names, backbone, pixel decoder, transformer and heads of ZegFormer."""

import jax
import numpy as np

from ovs_jax.conversion.rules import to_foreign
from ovs_jax.conversion.zegformer import ZEGFORMER
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
        file, array, np.asarray(ours) / scale, arrays[array] / scale, MODEL, f"in units of {scale:.3g}"
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


def check_networks(reference: ZegFormerReference, report: Report) -> None:
    """Compares every intermediate result that ``<name>_train.npz`` holds."""
    arrays = reference.arrays("train")
    if arrays is None:
        return
    file = f"{reference.name}_train"
    images = padded_images(arrays)
    report.compare(file, "padded_size", images.shape[1:3], arrays["padded_size"], EXACT)
    first = images.transpose(0, 3, 1, 2)[:, :, ::7, ::7]
    report.compare(
        file, "norm_padded_images.sub", first, arrays["norm_padded_images.sub"], TOLERANCES["module"]
    )
    static, converted = reference.model

    @jax.jit
    def run(
        images: jax.Array, classes_unit: jax.Array
    ) -> tuple[PixelFeatures, jax.Array, SegmentQueries, Predictions]:
        model: ZegFormer = functional.bind(static, converted.params, converted.stats)
        pixels = model.pixel_features(images)
        queries = model.segment_queries(pixels)
        predicted = model.predict(pixels, queries, classes_unit)
        return pixels, model.project_source(pixels.source), queries, predicted

    pixels, source, queries, predicted = run(images, arrays["text_features_train"])
    rows, cols, width = source.shape[1:]
    positions = sine_positions(rows, cols, width).reshape(1, rows, cols, width)
    ours = {f"backbone.res{i}": _channels_first(x) for i, x in enumerate(pixels.levels, start=2)}
    ours |= {
        "pixel_decoder.mask_features": _channels_first(pixels.mask_features),
        "pixel_decoder.transformer_encoder_features": _channels_first(pixels.source),
        "predictor.src": _channels_first(source),
        "predictor.pos": _channels_first(np.broadcast_to(positions, source.shape)),
        "predictor.memory": _channels_first(queries.memory.reshape(source.shape)),
        "predictor.hs": queries.hidden,
        "predictor.proj": queries.embedding,
        "predictor.mask_embed": queries.mask_embedding,
        "train.pred_logits": predicted.logits[-1],
        "train.pred_masks": predicted.masks[-1],
    }
    for k in range(len(predicted.logits) - 1):
        ours[f"train.aux{k}.pred_logits"] = predicted.logits[k]
        ours[f"train.aux{k}.pred_masks"] = predicted.masks[k]
    for name, value in ours.items():
        if name in arrays:
            scaled(report, file, name, value, arrays)
    for name in arrays:
        if name.startswith("in.") or name == "text_features_train":
            report.skip(file, name, "an input")


def check_inference(reference: ZegFormerReference, report: Report) -> None:
    """Compares the logits and masks of ``<name>_infer.npz``, before any inference logic."""
    arrays = reference.arrays("infer")
    if arrays is None:
        return
    file = f"{reference.name}_infer"
    static, converted = reference.model
    params = functional.paths(converted.params)
    if f"override.{BIAS}" in arrays:
        params["pixel_decoder/mask_features/bias"] = arrays[f"override.{BIAS}"]

    @jax.jit
    def run(images: jax.Array, classes_unit: jax.Array) -> Predictions:
        model: ZegFormer = functional.bind(static, functional.nest(params), converted.stats)
        return model(images, classes_unit, layers="last")

    predicted = run(padded_images(arrays), arrays["text_features_test"])
    scaled(report, file, "pred_logits", predicted.logits[-1], arrays)
    scaled(report, file, "pred_masks", predicted.masks[-1], arrays)
    for name in arrays:
        if name.startswith(("in.", "override.")) or name == "text_features_test":
            report.skip(file, name, "an input")


def _channels_first(x: object) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 1)
