"""Encoder outputs, assignments, projections, text features and class embeddings (``eval.npz``)."""

import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.conversion.rules import to_foreign
from ovs_jax.models.text.clip import end_of_text_mask
from ovs_jax.nn import functional
from parity.reference import Reference
from parity.report import TOLERANCES, Report

MODEL = TOLERANCES["model"]


def check_round_trip(reference: Reference, report: Report) -> None:
    """The parameters must come back bit for bit under the reference's names."""
    _, converted = reference.model
    back = to_foreign(converted.params, reference.rules) | to_foreign(
        converted.stats, reference.rules
    )
    file = f"{reference.name}/params"
    for name, array in reference.state.items():
        if name in converted.ignored:
            report.skip(file, name, f"not part of the model: {converted.ignored[name]}")
        else:
            report.compare(file, name, back[name], array, TOLERANCES["exact"])


def check_features(reference: Reference, report: Report) -> None:
    """Compares everything in ``eval.npz``."""
    arrays = reference.arrays("eval")
    if arrays is None:
        return
    file = f"{reference.name}/eval"
    static, converted = reference.model
    model = functional.bind(static, converted.params, converted.stats)

    def compare(name: str, ours: object) -> None:
        if name in arrays:
            report.compare(file, name, ours, arrays[name], MODEL)

    for size in ("sq", "rect"):
        if f"{size}.image" not in arrays:
            continue
        features = jax.jit(model.encode_image)(reference.image(arrays[f"{size}.image"]))
        report.skip(file, f"{size}.image", "an input")
        compare(f"{size}.x", features.pooled)
        compare(f"{size}.feat", features.groups)
        for i, assignment in enumerate(features.assignments):
            stage = f"{size}.stage{i}"
            compare(f"{stage}.soft", assignment.soft[:, None])
            hard, want = assignment.hard[:, None], arrays[f"{stage}.hard"]
            top = -np.sort(-arrays[f"{stage}.soft"], axis=2)[:, :, :2]
            clear = np.broadcast_to(top[:, :, :1] - top[:, :, 1:] > MODEL, want.shape)
            report.compare(
                file, f"{stage}.hard", np.where(clear, hard, want), want, TOLERANCES["exact"]
            )
            compare(f"{stage}.q", assignment.query[:, None])
            compare(f"{stage}.k", assignment.key[:, None])
        compare(f"{size}.image_x", model.project_image(features.pooled))
        compare(f"{size}.image_feat", model.project_image(features.groups))
        if size == "sq":
            square = features
    text = model.encode_text(text_of(arrays, "text", reference))
    compare("text.x_before_proj", text.pooled)
    compare("text.text_x", model.project_text(text.pooled))
    compare("text.all_tokens", text.tokens)
    compare("text.all_tokens_proj", model.project_text(text.tokens))

    if "classes.embedding" in arrays:
        classes = arrays["classes.embedding"].shape[0]
        prompts = model.encode_text(text_of(arrays, "classes", reference))
        embedding = model.project_text(prompts.pooled).reshape(classes, -1, reference.config["out"])
        mean = np.asarray(embedding.mean(1))
        unit = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
        compare("classes.embedding", unit)
        image = np.asarray(model.project_image(square.pooled))
        cosine = (image / np.linalg.norm(image, axis=-1, keepdims=True)) @ unit.T
        compare("sq.zero_shot_logits", cosine)
    if not reference.is_groupvit:
        question = text_of(arrays, "mec", reference)
        tokens = model.encode_text(question).tokens
        compare("mec.visual_aligned", model.align_groups(square.groups))
        compare("mec.question_aligned", model.align_question(tokens))
        decoded = model.decode_question(tokens, square.groups, mask=question["mask"])
        compare("mec.tokens_out", decoded)
        compare("mec.answer_pred", model.bridge_projector(decoded[:, 0]))
    for name in arrays:
        if name.endswith(("ids", "attention_mask", "num_templates")):
            report.skip(file, name, "an input")
    report.account(file, set(arrays))


def text_of(arrays: dict[str, np.ndarray], name: str, reference: Reference) -> dict[str, jax.Array]:
    """Token ids and mask, all texts along one axis."""
    if reference.is_groupvit:
        ids = jnp.asarray(arrays[f"{name}.ids"]).reshape(-1, arrays[f"{name}.ids"].shape[-1])
        return {"ids": ids, "mask": end_of_text_mask(ids)}
    return {
        "ids": jnp.asarray(arrays[f"{name}.input_ids"]),
        "mask": jnp.asarray(arrays[f"{name}.attention_mask"]) > 0,
    }
