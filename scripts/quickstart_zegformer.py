"""Trains ZegFormer on the synthetic world, scores seen and unseen classes and draws what it sees.

``python scripts/quickstart.py --model zegformer`` runs this. Writes to OUT: zegformer/ (a run with
checkpoints), zegformer.json, zegformer.md and zegformer.png. Four classes have no training masks;
they are named by their attributes, without CLIP. Scores are taken on held-out scenes that neither
training nor any choice has seen; the picture shows those with unseen classes. The calibration, what
is taken from the scores of seen classes (published: 0.1), is chosen on scenes of its own.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

import ovs_jax
from ovs_jax.cli import config as experiments
from ovs_jax.data.synthetic.world import SyntheticWorld
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.files import write_together
from ovs_jax.evaluation.gallery import draw_gallery
from ovs_jax.evaluation.gzs3 import ZeroShotScores
from ovs_jax.evaluation.mask_segmenter import BoundModel, MaskSegmenter
from ovs_jax.evaluation.segmentation import png
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.evaluation.zero_shot_report import ZeroShotReport
from ovs_jax.evaluation.zero_shot_world import world_protocol
from ovs_jax.mapping import from_mapping
from ovs_jax.training import experiment
from ovs_jax.training.config import RunConfig
from ovs_jax.training.labelled_task import LabelledTask
from ovs_jax.training.state import scratch

SCENES = 500
CHOOSING = 200
"""Scenes that the calibration is chosen on."""
GAMMAS = tuple(round(0.1 * n, 1) for n in range(10))
DRAWN = 12
SCORES = ("seen_iou", "unseen_iou", "harmonic_iou", "pixel_accuracy")


class HeldOut:
    """Scenes of a world seed of their own, and the model's view of them."""

    def __init__(self, config: RunConfig, *, seed: int, scenes: int) -> None:
        self.task, data = LabelledTask(config), config.data
        self.world = SyntheticWorld(
            data.world, split="validation", seed=data.world_seed + seed, length=scenes
        )
        self.protocol = world_protocol(self.task.split, size=data.recipe.size)

    def judge(self, segmenter: Segmenter, *, gammas: Sequence[float] = ()) -> ZeroShotReport:
        """All scores, with other calibrations in the same pass."""
        report = evaluate(segmenter, self.world.segmentation(), self.protocol, gammas=gammas)
        assert isinstance(report, ZeroShotReport)
        return report

    def draw(self, segmenter: Segmenter, *, gamma: float, count: int) -> np.ndarray:
        """A page of the first scenes with unseen classes, calibrated."""
        source, split = self.world.segmentation(), self.task.split
        found = ((i, np.intersect1d(source[i]["label"], split.unseen)) for i in range(len(source)))
        chosen = list(islice(((i, present) for i, present in found if len(present)), count))
        return draw_gallery(
            segmenter,
            source,
            replace(self.protocol, gamma=gamma),
            indices=[index for index, _ in chosen],
            titles=[
                "unseen: " + ", ".join(split.classes.names[each] for each in present)
                for _, present in chosen
            ],
        )


def chance(area: Int[np.ndarray, " c"], unseen: tuple[int, ...]) -> dict[str, float]:
    """Scores in percent, as expected, if every pixel were given a class at random.

    Args:
      area: pixels of each class.
      unseen: indices of unseen classes.
    """
    classes, pixels = len(area), area.sum()
    hit: Float[np.ndarray, " c"] = area / classes
    iou = hit / (area + pixels / classes - hit)
    seen, new = np.delete(iou, unseen).mean(), iou[list(unseen)].mean()
    scores = (seen, new, 2 * seen * new / (seen + new), 1 / classes)
    return {name: 100 * float(value) for name, value in zip(SCORES, scores, strict=True)}


def untrained(config: RunConfig, held_out: HeldOut) -> MaskSegmenter:
    """The model as training starts with it."""
    mesh = experiment.make_mesh(config)
    plan = experiment.make_plan(config, mesh, steps=config.steps, steps_per_epoch=1)
    state = scratch(plan, config.seed, kernels=config.init.kernels)
    model = BoundModel(plan.static, state["params"], state["stats"])
    return MaskSegmenter(model, text=held_out.task.text, defaults=held_out.protocol)


def table(rows: list[dict[str, Any]], *, scenes: int) -> str:
    """The rows in Markdown."""
    lines = [
        f"Every pixel named among seen and unseen classes, {scenes} held-out scenes:",
        "",
        "| | seen mIoU | unseen mIoU | harmonic | pixel accuracy | training s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = " | ".join(f"{row[name]:.1f}" for name in SCORES)
        lines.append(f"| {row['name']} | {cells} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def run(out: Path, *, seed: int, smoke: bool, environment: dict[str, Any]) -> int:
    """Trains, evaluates and draws.

    Args:
      out: where to write.
      seed: of weights, data order and noise.
      smoke: a few steps only.
      environment: what the numbers are made with, for the record.
    """
    name, workdir = "zegformer/synthetic" + (":smoke" if smoke else ""), out / "zegformer"
    loaded = experiments.load(name, [f"--config.seed={seed}"])
    config = from_mapping(RunConfig, loaded.to_dict())
    print(f"\n== {name} -> {workdir}", flush=True)
    started = time.perf_counter()
    if not experiment.run(config, workdir).finished:
        raise SystemExit("stopped; run the same command again to go on")
    seconds = time.perf_counter() - started

    print("\n== evaluation on held-out scenes", flush=True)
    # Training's own evaluations, which chose the checkpoint, have the world seed itself.
    held_out = HeldOut(config, seed=1000, scenes=32 if smoke else SCENES)
    choosing = HeldOut(config, seed=2000, scenes=16 if smoke else CHOOSING)
    model = ovs_jax.load(workdir)
    tried = choosing.judge(model, gammas=GAMMAS)
    gamma = max(GAMMAS, key=lambda each: tried.at(each).harmonic_iou_of_present)
    blank, report = (
        held_out.judge(untrained(config, held_out)),
        held_out.judge(model, gammas=[gamma]),
    )
    area = report.result.truth_area
    rows = [
        {"name": "a class at random", "seconds": 0.0, **chance(area, held_out.task.split.unseen)},
        {"name": "untrained", "seconds": 0.0, **scores(blank.result)},
        {"name": "trained", "seconds": round(seconds, 1), **scores(report.result)},
        {
            "name": f"trained, calibrated by {gamma:g}",
            "seconds": round(seconds, 1),
            **scores(report.at(gamma)),
        },
    ]
    summary = table(rows, scenes=report.images)
    results = {
        "seed": seed,
        "gamma": gamma,
        "rows": rows,
        "unseen": [held_out.task.split.classes.names[i] for i in held_out.task.split.unseen],
        "classes": report.rows(),
        "protocol": report.choices(),
        "environment": environment,
    }
    page = Image.fromarray(held_out.draw(model, gamma=gamma, count=DRAWN))
    write_together(
        {
            out / "zegformer.json": (json.dumps(results, indent=1) + "\n").encode(),
            out / "zegformer.md": summary.encode(),
            out / "zegformer.png": png(page),
        }
    )
    print(f"\n{summary}\nresults: {out}/zegformer.json, zegformer.md, zegformer.png")
    return 0


def scores(result: ZeroShotScores) -> dict[str, float]:
    """What the table has; of a few scenes, those of the classes that occur."""
    found = result.summary()
    present = {name: found[f"{name}_of_present"] for name in SCORES[:3]}
    return present | {"pixel_accuracy": found["pixel_accuracy"]}
