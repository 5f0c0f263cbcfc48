"""Losses, gradients, batch statistics, optimizer step and momentum update (``stage*.npz``)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ovs_jax.conversion.rules import to_foreign
from ovs_jax.models.text.clip import end_of_text_mask
from ovs_jax.nn import functional
from ovs_jax.training import optimizer
from ovs_jax.training.objectives import CaptionObjective, Forward
from ovs_jax.training.step import follow
from parity.masks import check_masks
from parity.reference import Reference
from parity.report import NOISE_FACTOR, TOLERANCES, Report

MODEL, EXACT = TOLERANCES["model"], TOLERANCES["exact"]
ZERO_GRADIENT = 1e-5  # norm below which a reference gradient is rounding noise (golden README)
SMALL_GRADIENT = 1e-6  # elements below it turn noise into whole AdamW moves (golden README)
CLIP_NORM = optimizer.OptimizerConfig().clip_norm

RUNS = {
    "train": CaptionObjective(multi_label=1.0, project_tokens=False),
    "stage1": CaptionObjective(entity=1.0),
    "stage2": CaptionObjective(entity=1.0, mask=0.1),
    "stage2_dual": CaptionObjective(entity=1.0, mask=0.1, dual=True),
}
FROZEN = {"stage2": ("text_encoder/.*",), "stage2_dual": ("text_encoder/.*",)}


def check_training(reference: Reference, report: Report) -> None:
    """Compares every training file of a model's folder."""
    inputs: dict[str, np.ndarray] = {}
    for run in RUNS:
        arrays = reference.arrays(run)
        if arrays is None:
            continue
        inputs |= {name: array for name, array in arrays.items() if name.startswith("in/")}
        noise = {name for name in inputs if name.startswith("in/gumbel") and name not in arrays}
        usable = {name: array for name, array in inputs.items() if name not in noise}
        _check_run(reference, run, arrays, usable, report)
        report.account(f"{reference.name}/{run}", set(arrays))


def _check_run(
    reference: Reference,
    run: str,
    arrays: dict[str, np.ndarray],
    inputs: dict[str, np.ndarray],
    report: Report,
) -> None:
    file = f"{reference.name}/{run}"
    objective = RUNS[run]
    static, converted = reference.model
    batch = _batch(reference, inputs)
    noise = [inputs[f"in/gumbel{i}"][:, 0] for i in range(len(_gumbels(inputs)))]
    frozen_patterns = ("momentum_encoder/.*", *FROZEN.get(run, ()))
    trainable, frozen = optimizer.split(converted.params, frozen_patterns)

    def loss(trainable: Any, batch: Any, noise: Any) -> tuple[jax.Array, Any]:
        params = optimizer.join(trainable, frozen)
        model = functional.bind(static, params, converted.stats, train=True)
        done = objective.forward(model, batch, None, noise=noise)
        return objective.total(done.losses), (done, functional.batch_statistics(model))

    (total, (done, stats)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        trainable, jax.tree.map(jnp.asarray, batch), noise
    )
    for name in inputs.keys() & arrays.keys():
        report.skip(file, name, "an input")
    _check_losses(file, arrays, total, done, report)
    _check_intermediates(file, arrays, done, report)
    if done.pairs:
        check_masks(reference, file, arrays, done, report)
    foreign_stats = to_foreign(stats, reference.rules)
    for name in [name for name in arrays if name.startswith("bn_after/")]:
        if name.endswith("num_batches_tracked"):
            report.skip(file, name, "a counter that nothing reads")
        else:
            ours = foreign_stats[name.split("/", 1)[1]]
            report.compare(file, name, ours, arrays[name], TOLERANCES["module"])
    if "total_grad_norm" in arrays:
        _check_gradients(reference, file, run, arrays, gradients, report)
        _check_step(reference, file, arrays, gradients, (trainable, frozen), report)


def _gumbels(inputs: dict[str, np.ndarray]) -> list[str]:
    return [name for name in inputs if name.startswith("in/gumbel")]


def _batch(reference: Reference, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    batch: dict[str, Any] = {"image": reference.image(inputs["in/image"])}
    if "in/cross_image" in inputs:
        batch["cross_image"] = reference.image(inputs["in/cross_image"])
    if reference.is_groupvit:
        ids = inputs["in/text"]
        mask = np.asarray(end_of_text_mask(jnp.asarray(ids)))
        batch["caption"] = {"ids": ids[:, 0], "mask": mask[:, 0]}
        batch["prompts"] = {"ids": ids[:, 1:], "mask": mask[:, 1:]}
        return batch
    names = {"caption": "text", "question": "question", "answer": "answer"}
    names["cross_entity"] = "cross_entity"
    for ours, theirs in names.items():
        if f"in/{theirs}.input_ids" in inputs:
            batch[ours] = {
                "ids": inputs[f"in/{theirs}.input_ids"],
                "mask": inputs[f"in/{theirs}.attention_mask"] > 0,
            }
    return batch


def _check_losses(
    file: str, arrays: dict[str, np.ndarray], total: Any, done: Forward, report: Report
) -> None:
    """The published names differ between the models; see the golden README."""
    ours = dict(done.losses)
    names = {
        "loss/matching": ours["contrastive"],
        "loss/entity": ours.get("entity"),
        "loss/mask": ours.get("mask"),
        "loss/multi_label_loss": ours.get("multi_label"),
        "loss/total": total,
        "loss/loss": ours["contrastive"] if "loss/total" in arrays else total,
    }
    for name, value in names.items():
        if name in arrays and value is not None:
            report.compare(file, name, value, arrays[name], TOLERANCES["module"])


def _check_intermediates(
    file: str, arrays: dict[str, np.ndarray], done: Forward, report: Report
) -> None:
    ours = {
        "mid/image_x": done.image_embedding,
        "mid/image_feat": done.group_embeddings,
        "mid/image_feat_before_proj": done.image.groups,
        "mid/text_x": done.caption_embedding,
        "mid/answer_x": done.answer_embedding,
        "mid/answer_pred": done.predicted_answer,
        "mid/question_tokens": done.question,
    }
    for name, value in ours.items():
        if name in arrays:
            report.compare(file, name, value, arrays[name], MODEL)


def _gradient_tolerance(reference: Reference, run: str) -> float:
    """1e-4, or three times the noise that the reference states for itself."""
    noise = reference.json("fp32_noise").get(f"{run}_grad_rel_err_max", 0.0)
    return max(TOLERANCES["gradient"], NOISE_FACTOR * noise)


def _rows(name: str, ours: dict[str, np.ndarray]) -> tuple[str, np.ndarray] | None:
    """Our array for a stored one, cut to the rows that are stored (``grad[:2]/name``)."""
    head, path = name.split("/", 1)
    if path not in ours:
        return None
    count = int(head.split("[:")[1][:-1]) if "[:" in head else None
    array = ours[path]
    return path, array if count is None else array[:count]


def _check_gradients(
    reference: Reference,
    file: str,
    run: str,
    arrays: dict[str, np.ndarray],
    gradients: Any,
    report: Report,
) -> None:
    ours = to_foreign(gradients, reference.rules)
    tolerance = _gradient_tolerance(reference, run)
    for name in [n for n in arrays if n.startswith(("grad/", "grad["))]:
        found = _rows(name, ours)
        if found is None:
            report.record(file, name, np.inf, tolerance, "we have no gradient for it")
            continue
        _, mine = found
        _check_one_gradient(file, name, mine, arrays[name], tolerance, report)
    names = [str(name) for name in arrays["grad_norm_names"]]
    missing = sorted(set(names) ^ set(ours))
    report.record(file, "grad_norm_names", len(missing), EXACT, " ".join(missing[:3]))
    for name, norm in zip(names, arrays["grad_norms"], strict=True):
        mine = np.linalg.norm(ours[name]) if name in ours else np.inf
        error = abs(mine - norm) / (norm if norm > ZERO_GRADIENT else 1.0)
        report.record(
            file, f"grad_norms[{name}]", error, tolerance if norm > ZERO_GRADIENT else ZERO_GRADIENT
        )
    report.record(file, "grad_norms", 0.0, tolerance, "each norm on its own line")
    norm = float(arrays["total_grad_norm"])
    error = abs(float(optax.tree.norm(gradients)) - norm) / norm
    report.record(file, "total_grad_norm", error, tolerance, "relative")


def _check_one_gradient(
    file: str, name: str, mine: np.ndarray, want: np.ndarray, tolerance: float, report: Report
) -> None:
    norm = float(np.linalg.norm(want))
    difference = float(np.linalg.norm(mine.astype(np.float64) - want.reshape(mine.shape)))
    if norm > ZERO_GRADIENT:
        report.record(file, name, difference / norm, tolerance)
    else:
        report.record(file, name, difference, ZERO_GRADIENT, "zero in exact arithmetic")


def _check_step(
    reference: Reference,
    file: str,
    arrays: dict[str, np.ndarray],
    gradients: Any,
    params: tuple[Any, Any],
    report: Report,
) -> None:
    trainable, frozen = params
    run = file.split("/")[1]
    groups = reference.json(f"{run}_groups")
    tolerance = _gradient_tolerance(reference, run)
    rate = groups.get("lr", 2e-3)
    transform = optimizer.adamw(
        trainable, optimizer.OptimizerConfig(), schedule=optax.constant_schedule(rate)
    )
    updates, _ = jax.jit(transform.update)(gradients, transform.init(trainable), trainable)
    stepped = jax.tree.map(np.add, trainable, updates)
    ours = to_foreign(stepped, reference.rules)
    raw = to_foreign(gradients, reference.rules)
    for name in [n for n in arrays if n.startswith(("after_clip5/", "after_clip5["))]:
        found = _rows(name, ours)
        if found is None:
            report.record(file, name, np.inf, MODEL, "we have no such parameter")
            continue
        path, mine = found
        sure = _clear_direction(name, path, arrays, raw, mine.shape)
        left_out = int((~sure).sum())
        report.compare(
            file,
            name,
            np.where(sure, mine, arrays[name]),
            arrays[name],
            MODEL,
            f"{left_out} elements with rounding-noise gradients left out" if left_out else "",
        )
    if "after_clip5_delta_norms" in arrays:
        deltas = to_foreign(updates, reference.rules)
        _check_delta_norms(file, arrays, deltas, raw, rate, report)
    if "clip_small_max_norm" in arrays:
        clip = optax.clip_by_global_norm(float(arrays["clip_small_max_norm"]))
        clipped, _ = clip.update(gradients, clip.init(trainable))
        ours = to_foreign(clipped, reference.rules)
        for name in [n for n in arrays if n.startswith("clipped_grad/")]:
            mine = ours[name.split("/", 1)[1]]
            _check_one_gradient(file, name, mine, arrays[name], tolerance, report)
        report.skip(file, "clip_small_max_norm", "an input")
    _check_momentum(reference, file, arrays, optimizer.join(stepped, frozen), raw, report)
    _check_groups(reference, file, groups, trainable, report)


def _clear_direction(
    name: str, path: str, arrays: dict[str, np.ndarray], raw: dict[str, np.ndarray], shape: Any
) -> np.ndarray:
    """Where the gradient exceeds its rounding noise, so that Adam's first move is sure."""
    stored = [n for n in arrays if n.startswith("grad") and n.endswith(f"/{path}")]
    # Adam sees gradients after clipping: that is where they must exceed the noise.
    floor = SMALL_GRADIENT * max(1.0, float(arrays["total_grad_norm"]) / CLIP_NORM)
    mine = raw[path][: shape[0]] if shape else raw[path]
    sure = np.abs(mine) > floor
    if stored:
        want = arrays[stored[0]].reshape(-1, *mine.shape[1:]) if shape else arrays[stored[0]]
        want = want[: len(mine)] if shape else want
        noise = np.abs(mine - want)
        sure &= np.abs(want) > np.maximum(floor, NOISE_FACTOR * noise)
    return sure.reshape(shape)


def _check_delta_norms(
    file: str,
    arrays: dict[str, np.ndarray],
    deltas: dict[str, np.ndarray],
    raw: dict[str, np.ndarray],
    rate: float,
    report: Report,
) -> None:
    """Norms of the moves; an element of unsure direction can change a square by (2 x rate)²."""
    worst = 0.0
    norms = zip(arrays["grad_norm_names"], arrays["after_clip5_delta_norms"], strict=True)
    for name, norm in norms:
        mine = deltas[str(name)]
        unsure = int((np.abs(raw[str(name)]) < 10 * SMALL_GRADIENT).sum())
        room = 2 * rate * np.sqrt(unsure)
        worst = max(
            worst, max(abs(float(np.linalg.norm(mine)) - norm) - room, 0.0) / max(norm, 1e-12)
        )
    report.record(file, "after_clip5_delta_norms", worst, 1e-3, "relative")


def _check_momentum(
    reference: Reference,
    file: str,
    arrays: dict[str, np.ndarray],
    params: Any,
    raw: dict[str, np.ndarray],
    report: Report,
) -> None:
    names = [n for n in arrays if n.startswith("momentum_after_clip5")]
    if not names:
        return
    followed = follow(params, 0.99)["momentum_encoder"]
    ours = to_foreign({"momentum_encoder": followed}, reference.rules)
    ours = {name.removeprefix("img_encoder_momentum."): array for name, array in ours.items()}
    for name in names:
        found = _rows(name, ours)
        if found is None:
            report.record(file, name, np.inf, MODEL, "we have no such parameter")
            continue
        report.compare(file, name, found[1], arrays[name], MODEL)


def _check_groups(
    reference: Reference, file: str, groups: dict[str, Any], trainable: Any, report: Report
) -> None:
    """Which parameters decay, which do not, which are frozen."""
    if not groups:
        return
    config = optimizer.OptimizerConfig()
    decays = {
        path: np.full(leaf.shape, optimizer.default_decay(path, leaf.ndim, config) > 0)
        for path, leaf in functional.paths(trainable).items()
    }
    ours = to_foreign(functional.nest(decays), reference.rules)
    unused = set(groups.get("trainable_but_grad_is_None", ()))
    for key, value in (("weight_decay_0_05", True), ("no_weight_decay", False)):
        theirs = set(groups[key]) - unused
        mine = {name for name, array in ours.items() if (array == value).all()}
        wrong = sorted(theirs ^ mine)
        report.record(f"{file}_groups", key, len(wrong), EXACT, " ".join(wrong[:3]))
