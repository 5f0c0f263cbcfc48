"""What each training task adds on the synthetic world, at equal cost, over several seeds.

    python scripts/ablation.py [--seeds 3] [--steps 600] [--out runs/ablation] [--smoke]

Cost is arithmetic: the floating-point operations that XLA counts in the compiled training step.
The variant with noun prompts and entity completion takes STEPS steps; every other variant takes as
many as the same number of operations buys. Mask consistency is a second stage, as in the paper: it
takes a fifth of the operations after four fifths of "+ entity". All else is the quickstart's.
Started by scripts/ablation.sh.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import jax
from quickstart import SCENES, Benchmark, environment, row, train

from ovs_jax.cli import config as experiments
from ovs_jax.cli.main import set_up_logging
from ovs_jax.evaluation.files import write_together
from ovs_jax.mapping import from_mapping
from ovs_jax.training import experiment
from ovs_jax.training.caption_task import CaptionTask
from ovs_jax.training.config import RunConfig, captioned

STAGE1, STAGE2 = "quickstart/stage1", "quickstart/stage2"
NO_PROMPTS = ["--config.objective.multi_label=0.0", "--config.model.multi_label=false"]
NO_ENTITY = ["--config.objective.entity=0.0", "--config.model.entity=false"]
VARIANTS = {
    "contrastive only": [*NO_PROMPTS, *NO_ENTITY],
    "+ noun prompts": NO_ENTITY,
    "+ entity": [],
    "+ entity + mask consistency": [],
}
SECOND_STAGE = 0.2


def operations(name: str, overrides: list[str]) -> float:
    """Floating-point operations of one training step, as XLA counts them."""
    config = from_mapping(RunConfig, experiments.load(name, overrides).to_dict())
    batches = CaptionTask(config).open_batches()
    try:
        batch = next(batches)
    finally:
        batches.close()
    plan = experiment.make_plan(
        config, experiment.make_mesh(config), steps=config.steps, steps_per_epoch=1
    )
    step = experiment.run_step(config, plan, captioned(config)[1])
    shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), batch)
    return float(step.lower(plan.shapes, shapes).compile().cost_analysis()["flops"])


def budgets(steps: int, variant: str) -> dict[str, list[int]]:
    """Steps of the first and, for the last variant, of the second stage."""
    cost = {
        name: operations(STAGE1 + variant, overrides)
        for name, overrides in list(VARIANTS.items())[:3]
    }
    base = cost["+ entity"]
    second = operations(STAGE2 + variant, ["--config.init.checkpoint=none"])
    given = {name: [round(steps * base / value)] for name, value in cost.items()}
    given["+ entity + mask consistency"] = [
        round(steps * (1 - SECOND_STAGE)),
        max(round(steps * SECOND_STAGE * base / second), 1),
    ]
    return given


def run(
    name: str, seed: int, steps: list[int], folder: Path, *, variant: str, scenes: int
) -> dict[str, Any]:
    """Trains and judges one variant with one seed."""
    common = [f"--config.seed={seed}", "--config.evaluation.every=0", "--config.evaluation.limit=8"]
    overrides = [*common, *VARIANTS[name], f"--config.steps={steps[0]}"]
    config, segmenter, seconds = train(STAGE1 + variant, folder / "stage1", overrides)
    if len(steps) > 1:
        start = f"--config.init.checkpoint={folder / 'stage1'}"
        overrides = [*common, start, f"--config.steps={steps[1]}"]
        _, segmenter, more = train(STAGE2 + variant, folder / "stage2", overrides)
        seconds += more
    reports = Benchmark(config, scenes=scenes).judge(segmenter)
    return {**row(name, seed, reports, seconds), "steps": steps}


def table(rows: list[dict[str, Any]], *, scenes: int) -> str:
    """Means and spreads in Markdown."""

    def spread(values: list[float]) -> str:
        mean = statistics.fmean(values)
        if len(values) < 2:
            return f"{mean:.1f}"
        return f"{mean:.1f} ± {statistics.stdev(values):.1f} ({min(values):.1f}–{max(values):.1f})"

    lines = [
        f"Every pixel named, {scenes} held-out scenes; mean ± standard deviation (range):",
        "",
        "| | steps | seeds | mIoU | groups named by majority |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in VARIANTS:
        mine = [item for item in rows if item["name"] == name]
        if mine:
            steps = " + ".join(str(number) for number in mine[0]["steps"])
            scores = spread([item["mean_iou"] for item in mine])
            groups = spread([item["group_mean_iou"] for item in mine])
            lines.append(f"| {name} | {steps} | {len(mine)} | {scores} | {groups} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Runs all variants with all seeds; a finished one is not run again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600, help='of the variant "+ entity"')
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--smoke", action="store_true", help="a few steps only, to see it work")
    arguments = parser.parse_args()
    set_up_logging(verbose=False)
    variant, scenes = (":smoke", 16) if arguments.smoke else ("", SCENES)
    given = budgets(8 if arguments.smoke else arguments.steps, variant)
    rows = []
    for seed in range(arguments.seeds):
        for place, name in enumerate(VARIANTS):
            folder = arguments.out / f"variant{place}-seed{seed}"
            rows.append(run(name, seed, given[name], folder, variant=variant, scenes=scenes))
            results = {"rows": rows, "environment": environment()}
            summary = table(rows, scenes=scenes)
            write_together(
                {
                    arguments.out / "results.json": (json.dumps(results, indent=1) + "\n").encode(),
                    arguments.out / "results.md": summary.encode(),
                }
            )
            print(f"\n{summary}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
