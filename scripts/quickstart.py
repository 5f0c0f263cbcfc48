"""Trains OVSegmentor in two stages on the synthetic world, evaluates it and draws what it sees.

    python scripts/quickstart.py [--seed 0] [--out runs/quickstart] [--smoke]
    python scripts/quickstart.py --model zegformer     masks and unseen classes in place of captions

Writes to OUT: stage1/ and stage2/ (runs with checkpoints), results.json, results.md and scenes.png.
The scores are taken on held-out scenes that neither training nor the choice of a checkpoint has
seen. Started by scripts/quickstart.sh, which makes the environment first.
"""

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import quickstart_zegformer
from PIL import Image

import ovs_jax
from ovs_jax.cli import config as experiments
from ovs_jax.cli.main import set_up_logging
from ovs_jax.data.synthetic.world import SyntheticWorld
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.files import write_together
from ovs_jax.evaluation.gallery import draw_gallery
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.protocols import Protocol, synthetic_protocol
from ovs_jax.evaluation.segmentation import png
from ovs_jax.evaluation.segmentation_report import SegmentationReport
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.mapping import from_mapping
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training import experiment
from ovs_jax.training.config import RunConfig
from ovs_jax.training.state import scratch

SCENES = 500
BACKGROUND = 0.5
"""Threshold of the second protocol, in which only objects have names."""
DRAWN = 12


class Benchmark:
    """Held-out scenes under the two protocols."""

    def __init__(self, config: RunConfig, *, scenes: int) -> None:
        # Another world seed than training's own evaluations, so that no checkpoint was chosen here.
        seed = config.data.world_seed + 1000
        self.world = SyntheticWorld(config.data.world, split="validation", seed=seed, length=scenes)
        self.size = config.data.world.size

    def sources(self) -> dict[str, tuple[Any, Protocol]]:
        """Every pixel named, and objects before a background."""
        every, objects = self.world.segmentation("all"), self.world.segmentation("objects")
        return {
            "all": (every, synthetic_protocol(every.class_set, size=self.size)),
            "objects": (
                objects,
                synthetic_protocol(objects.class_set, size=self.size, background=BACKGROUND),
            ),
        }

    def judge(self, segmenter: Segmenter) -> dict[str, SegmentationReport]:
        """One report a protocol."""
        return {
            name: evaluate(segmenter, source, protocol, batch_size=64)
            for name, (source, protocol) in self.sources().items()
        }


def untrained(config: RunConfig) -> GroupSegmenter:
    """The model as stage 1 starts with it."""
    plan = experiment.make_plan(
        config, experiment.make_mesh(config), steps=config.steps, steps_per_epoch=1
    )
    state = scratch(plan, config.seed, kernels=config.init.kernels)
    return GroupSegmenter(
        plan.static,
        state["params"],
        state["stats"],
        tokenizer=load_tokenizer(config.data.tokenizer),
        text_length=config.data.text_length,
    )


def train(name: str, workdir: Path, overrides: list[str]) -> tuple[RunConfig, Segmenter, float]:
    """Trains one stage and loads what it left."""
    config = from_mapping(RunConfig, experiments.load(name, overrides).to_dict())
    print(f"\n== {name} -> {workdir}", flush=True)
    started = time.perf_counter()
    if not experiment.run(config, workdir).finished:
        raise SystemExit("stopped; run the same command again to go on")
    return config, ovs_jax.load(workdir), time.perf_counter() - started


def row(
    name: str, seed: int, reports: dict[str, SegmentationReport], seconds: float
) -> dict[str, Any]:
    """One line of results.json."""
    every, objects = reports["all"], reports["objects"]
    return {
        "name": name,
        "seed": seed,
        "mean_iou": every.mean_iou,
        "pixel_accuracy": every.pixel_accuracy,
        "group_mean_iou": every.group_mean_iou,
        "background_threshold": BACKGROUND,
        "background_mean_iou": objects.mean_iou,
        "per_class_iou": {item["class"]: item["iou"] for item in every.rows()},
        "seconds": round(seconds, 1),
    }


def table(rows: list[dict[str, Any]], *, scenes: int) -> str:
    """The rows in Markdown; scores of different protocols stand in tables of their own."""

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}"

    lines = [
        f"Every pixel named, {scenes} held-out scenes:",
        "",
        "| | mIoU | pixel accuracy | groups named by majority | training s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for item in rows:
        values = (item["mean_iou"], item["pixel_accuracy"], item["group_mean_iou"])
        cells = " | ".join(shown(value) for value in values)
        lines.append(f"| {item['name']} | {cells} | {item['seconds']:.0f} |")
    lines += [
        "",
        f"Objects named, the rest background below {BACKGROUND}:",
        "",
        "| | mIoU |",
        "| --- | ---: |",
    ]
    lines += [f"| {item['name']} | {shown(item['background_mean_iou'])} |" for item in rows]
    return "\n".join(lines) + "\n"


def environment() -> dict[str, Any]:
    """What the numbers were made with."""
    packages = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    return {
        "ovs_jax": ovs_jax.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "devices": [device.device_kind for device in jax.devices()],
        "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "platform": platform.platform(),
    }


def main() -> int:
    """Runs everything in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--model",
        choices=("ovsegmentor", "zegformer"),
        default="ovsegmentor",
        help="what to train: from captions, or from the masks of some classes",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights, data order and noise")
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--smoke", action="store_true", help="a few steps only, to see it work")
    arguments = parser.parse_args()
    set_up_logging(verbose=False)
    if arguments.model == "zegformer":
        seed, smoke = arguments.seed, arguments.smoke
        return quickstart_zegformer.run(
            arguments.out, seed=seed, smoke=smoke, environment=environment()
        )
    variant = ":smoke" if arguments.smoke else ""
    stages = [arguments.out / "stage1", arguments.out / "stage2"]
    seed = f"--config.seed={arguments.seed}"

    first, one, seconds_one = train(f"quickstart/stage1{variant}", stages[0], [seed])
    start = f"--config.init.checkpoint={stages[0]}"
    _, two, seconds_two = train(f"quickstart/stage2{variant}", stages[1], [seed, start])

    print("\n== evaluation on held-out scenes", flush=True)
    benchmark = Benchmark(first, scenes=32 if arguments.smoke else SCENES)
    blank = benchmark.judge(untrained(first))
    single = {
        **row("single class", arguments.seed, blank, 0.0),
        "mean_iou": blank["all"].to_dict()["single_class_mean_iou"],
        "background_mean_iou": blank["objects"].to_dict()["single_class_mean_iou"],
        "pixel_accuracy": None,
        "group_mean_iou": None,
        "per_class_iou": None,
    }
    rows = [
        single,
        row("untrained", arguments.seed, blank, 0.0),
        row("after stage 1", arguments.seed, benchmark.judge(one), seconds_one),
        row("after stage 2", arguments.seed, benchmark.judge(two), seconds_one + seconds_two),
    ]
    source, protocol = benchmark.sources()["all"]
    page = draw_gallery(two, source, protocol, indices=list(range(min(DRAWN, len(source)))))
    summary = table(rows, scenes=len(source))
    results = {"rows": rows, "protocol": protocol.choices(), "environment": environment()}
    write_together(
        {
            arguments.out / "results.json": (json.dumps(results, indent=1) + "\n").encode(),
            arguments.out / "results.md": summary.encode(),
            arguments.out / "scenes.png": png(Image.fromarray(page)),
        }
    )
    print(f"\n{summary}\nresults: {arguments.out}/results.json, results.md, scenes.png")
    print(
        f"try: ovs-jax segment PHOTO --classes 'dog, grass, sky' --checkpoint {stages[1]} "
        f"--out {arguments.out}/segmented"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
