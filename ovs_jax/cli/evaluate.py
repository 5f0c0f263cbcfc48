"""Scores a trained model under a published protocol, which is printed in full beside the score.

Data is the official download of a benchmark, or what ``ovs-jax data prepare`` made of it: --dataset
names the benchmark, or one of the class lists that its labels can be read with. Or two folders of
images and label maps of the same names, which hold the indices of the class list; where the
benchmark stores something that is not judged as 0 (voc20, context59, ade150), 1 is the first class.

Examples:
  ovs-jax evaluate --checkpoint runs/first --preset ovsegmentor --dataset voc21 --data VOCdevkit
  ovs-jax evaluate --checkpoint runs/first --preset tcl --dataset cityscapes --data cityscapes
  ovs-jax evaluate --checkpoint runs/first --preset tcl --refine pamr --data VOCdevkit
  ovs-jax evaluate --checkpoint runs/first --data VOCdevkit --sweep-background
  ovs-jax evaluate --checkpoint runs/first --dataset ade150 --images val/images --labels val/labels
  ovs-jax evaluate --checkpoint runs/masks --preset zegformer --dataset coco_stuff --data coco
  ovs-jax evaluate --checkpoint runs/masks --preset zegformer --data coco --sweep-calibration
  ovs-jax evaluate --checkpoint runs/first --task classification --data imagenet --prompts subset
  ovs-jax evaluate --checkpoint runs/first --task retrieval --data photos/captions.json
  ovs-jax evaluate --checkpoint runs/quickstart --preset synthetic --limit 200
  ovs-jax evaluate --checkpoint runs/masks --preset synthetic --sweep-calibration
"""

import argparse
from pathlib import Path

import ovs_jax
from ovs_jax.cli.evaluation_tasks import TASKS
from ovs_jax.cli.mask_options import add_mask_options
from ovs_jax.evaluation.files import check_output_folder, write_together
from ovs_jax.evaluation.protocols import protocol_names
from ovs_jax.evaluation.sweep import DEFAULT as THRESHOLDS
from ovs_jax.evaluation.zero_shot import zero_shot_protocol_names
from ovs_jax.text.prompts import TEMPLATE_SETS

GAMMAS = "0:0.5:0.02"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax evaluate``."""
    parser.add_argument(
        "--checkpoint", required=True, type=Path, help="the folder of a training run"
    )
    parser.add_argument(
        "--task",
        default="segmentation",
        choices=sorted(TASKS),
        help="what is judged (default: %(default)s)",
    )
    _add_protocol(parser)
    _add_data(parser.add_argument_group("data"))
    _add_choices(parser.add_argument_group("other choices than the protocol's"))
    _add_output(parser.add_argument_group("amount and output"))
    add_mask_options(parser)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset",
        help="groupvit, ovsegmentor (default), tcl, of seen and unseen classes zegformer, "
        "zegformer_resnet50 and zegformer_transfer, or synthetic; together with --dataset: "
        + ", ".join((*protocol_names(), *zero_shot_protocol_names())),
    )
    parser.add_argument(
        "--dataset",
        help="the benchmark or its class list (default: voc21, of zegformer coco_stuff, of "
        "classification imagenet); of zegformer also a JSON file of classes and unseen classes; "
        "for the synthetic preset all (default), objects or, for a zegformer that was trained "
        "there (default), zero_shot",
    )


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data",
        type=Path,
        help="the benchmark's folder; for retrieval images with captions, as for training",
    )
    group.add_argument("--split", help="which part of the benchmark (default: val)")
    group.add_argument("--images", type=Path, help="a folder of images, instead of --data")
    group.add_argument("--labels", type=Path, help="the folder of their label maps")
    group.add_argument("--size", type=int, default=64, help="side of synthetic scenes in pixels")


def _add_choices(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--refine", choices=("pamr",), help="bring the masks to the edges in the image"
    )
    group.add_argument(
        "--sweep-background",
        nargs="?",
        const=THRESHOLDS,
        metavar="FIRST:LAST:STEP",
        help=f"score other background thresholds in the same pass (without a range {THRESHOLDS})",
    )
    group.add_argument(
        "--sweep-calibration",
        nargs="?",
        const=GAMMAS,
        metavar="FIRST:LAST:STEP",
        help="score other calibrations of seen against unseen classes in the same pass (without a "
        f"range {GAMMAS})",
    )
    group.add_argument(
        "--prompts",
        choices=TEMPLATE_SETS,
        help="prompts of a classification: 80 (full, the default), 7 of them (subset), one, none",
    )
    group.add_argument(
        "--background", type=float, help="threshold of the synthetic preset for objects"
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--limit", type=int, help="judge only so many images")
    group.add_argument(
        "--batch-size",
        type=int,
        help="windows at a time (default: 16, on a CPU 1; whole images: 64)",
    )
    group.add_argument(
        "--out", type=Path, help="folder for report.md, report.json, report.csv and scenes.png"
    )
    group.add_argument(
        "--scenes", type=int, default=12, help="how many to draw in scenes.png (default: 12)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the report and writes it where asked.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: the protocol, the data or the checkpoint cannot be used.
      FileNotFoundError: a file or folder is missing.
    """
    for field in ("limit", "batch_size"):
        value = getattr(arguments, field)
        if value is not None and value < 1:
            name = field.replace("_", "-")
            raise ValueError(f"--{name}: expected at least 1, got {value}")
    if arguments.out is not None:
        check_output_folder(arguments.out, field="--out")
    # What can be wrong with the data shows before the model is loaded.
    task = TASKS[arguments.task](arguments)
    segmenter = ovs_jax.load(arguments.checkpoint, clip=arguments.clip)
    report = task.score(segmenter)
    print(report.to_markdown())
    if arguments.out is not None:
        files = report.files() | task.pictures(segmenter, report)
        write_together({arguments.out / name: content for name, content in files.items()})
        print(f"written to {arguments.out}: {', '.join(files)}")
    return 0
