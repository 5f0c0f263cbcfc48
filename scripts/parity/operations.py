"""Schedule, metric, image resize, RandAugment and question strings (``misc/``)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.data.operations import apply_operation
from ovs_jax.data.transforms import keep_ratio_size, normalize, resize_keep_ratio
from ovs_jax.evaluation.confusion import Confusion, count_pixels, encode_truth
from ovs_jax.text.entities import entity_rule
from ovs_jax.training.schedule import ScheduleConfig, warmup_cosine
from parity.report import TOLERANCES, Report

EXACT, MODULE = TOLERANCES["exact"], TOLERANCES["module"]


def check_operations(folder: Path, report: Report) -> None:
    """Compares every file of the folder."""
    for name, check in (
        ("schedule", _check_schedule),
        ("miou", _check_metric),
        ("resize", _check_resize),
        ("randaugment", _check_randaugment),
    ):
        if (folder / f"{name}.npz").exists():
            arrays = dict(np.load(folder / f"{name}.npz"))
            file = f"{folder.name}/{name}"
            check(file, arrays, report)
            report.account(file, set(arrays))
    if (folder / "mec_examples.json").exists():
        _check_questions(folder, report)


def _settings(arrays: dict[str, np.ndarray]) -> list[str]:
    return sorted({name.split(".")[0] for name in arrays})


def _check_schedule(file: str, arrays: dict[str, np.ndarray], report: Report) -> None:
    """Rates agree to 1e-6 of the highest one: ours are computed in float32."""
    for name in _settings(arrays):
        get = {key.split(".")[1].removesuffix("_f64"): arrays[key] for key in arrays if key.startswith(f"{name}.")}  # noqa: E501  # fmt: skip
        epoch = int(get["iters_per_epoch"])
        steps = round(float(get["epochs"]) * epoch)
        config = ScheduleConfig(
            learning_rate=float(get["base_lr"]),
            minimum=float(get["min_lr"]),
            warmup=float(get["warmup_lr"]),
            warmup_steps=round(float(get["warmup_epochs"]) * epoch),
        )
        rate = warmup_cosine(config, steps=steps)
        used = jax.vmap(rate)(np.arange(len(get["lr_used"])))
        tolerance = 1e-6 * float(get["base_lr"])
        report.compare(file, f"{name}.lr_used_f64", used, get["lr_used"], tolerance)
        last = rate(len(get["lr_used"]))
        report.compare(file, f"{name}.lr_after_last_f64", last, get["lr_after_last"], tolerance)
        for key in arrays:
            if key.startswith(f"{name}.") and ".lr_" not in key:
                report.skip(file, key, "an input")


def _check_metric(file: str, arrays: dict[str, np.ndarray], report: Report) -> None:
    for name in _settings(arrays):
        classes = int(arrays[f"{name}.num_classes"])
        zero = "drop" if bool(arrays[f"{name}.reduce_zero_label"]) else "keep"
        total = Confusion.empty(classes)
        images = sum(key.startswith(f"{name}.gt") for key in arrays)
        for i in range(images):
            label = arrays[f"{name}.gt{i}"].astype(np.int32)
            truth = encode_truth(label, classes=classes, zero_label=zero)
            predicted = arrays[f"{name}.pred{i}"].astype(np.int32)
            total += Confusion(
                np.asarray(
                    count_pixels(jnp.asarray(truth), jnp.asarray(predicted), classes=classes),
                    np.int64,
                )
            )
            report.skip(file, f"{name}.gt{i}", "an input")
            report.skip(file, f"{name}.pred{i}", "an input")
        union = total.truth_area + total.predicted_area - total.intersection
        ours = {
            "intersect": (total.intersection, EXACT),
            "union": (union, EXACT),
            "iou": (total.iou, 1e-6),
            "acc": (total.accuracy, 1e-6),
            "aAcc": (total.pixel_accuracy, 1e-6),
            "mIoU_nanmean": (total.mean_iou, 1e-6),
            "mIoU_reported": (np.round(total.mean_iou, 4), 1e-7),
        }
        for key, (value, tolerance) in ours.items():
            report.compare(file, f"{name}.{key}", value, arrays[f"{name}.{key}"], tolerance)
        for key in ("num_classes", "reduce_zero_label"):
            report.skip(file, f"{name}.{key}", "an input")


def _check_resize(file: str, arrays: dict[str, np.ndarray], report: Report) -> None:
    sizes = arrays["sizes_h_w_newh_neww"]
    ours = [(h, w, *keep_ratio_size(int(h), int(w))) for h, w in sizes[:, :2]]
    report.compare(file, "sizes_h_w_newh_neww", ours, sizes, EXACT)
    rgb = np.ascontiguousarray(arrays["bgr_in"][..., ::-1])
    resized = resize_keep_ratio(rgb, short_side=int(arrays["short_side_for_this_example"]))
    report.compare(
        file, "bgr_resized_uint8", resized[..., ::-1], arrays["bgr_resized_uint8"], EXACT
    )
    if "normalized_chw" in arrays:
        normalized = normalize(resized).transpose(2, 0, 1)
        report.compare(file, "normalized_chw", normalized, arrays["normalized_chw"], MODULE)
    for name in ("bgr_in", "short_side_for_this_example"):
        report.skip(file, name, "an input")


def _check_randaugment(file: str, arrays: dict[str, np.ndarray], report: Report) -> None:
    for name in arrays:
        if not name.startswith("out."):
            report.skip(file, name, "an input")
            continue
        operation, _, resample = name.removeprefix("out.").partition(".")
        argument = arrays[f"arg.{operation}"]
        ours = apply_operation(
            operation,
            arrays["input"],
            float(argument[0]) if argument.size else None,
            resample="bicubic" if resample == "bicubic" else "bilinear",
        )
        report.compare(file, name, ours, arrays[name], EXACT)


def _check_questions(folder: Path, report: Report) -> None:
    """The strings of the original entity rule; sampled answers are a random draw each."""
    examples = json.loads((folder / "mec_examples.json").read_text())
    rule = entity_rule("original")
    file = f"{folder.name}/mec_examples"

    def same(name: str, ours: object, want: object) -> None:
        report.record(file, name, float(ours != want), EXACT, "" if ours == want else repr(ours))

    for i, example in enumerate(examples["examples"]):
        caption = example["caption"]
        entities = rule.entities(caption)
        same(f"{i}.question", rule.question(caption), example["question"])
        same(f"{i}.entities_in_order", list(entities), example["entities_in_order"])
        same(f"{i}.answer_set", sorted(set(entities)), sorted(example["answer_set"]))
        kept = rule.pairing_entities(caption)
        same(
            f"{i}.kept_by_filter_with_entities",
            sorted(kept),
            sorted(example["kept_by_filter_with_entities"]),
        )
        report.skip(file, f"{i}.one_sampled_answer", "one of many random answers")
    for table in ("single_word_result", "naive_plural_result"):
        for word, want in examples[table].items():
            found = rule.entities(word)
            same(f"{table}[{word}]", found[0] if found else None, want)
