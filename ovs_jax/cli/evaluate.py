"""Scores a trained model on labelled images under a published protocol.

The protocol is printed in full beside the score. Data is in PASCAL VOC layout (JPEGImages,
SegmentationClass, ImageSets/Segmentation), or two folders of images and label maps of the same
names.

Examples:
  ovs-jax evaluate --checkpoint runs/first --preset ovsegmentor --dataset voc21 --data VOC2012
  ovs-jax evaluate --checkpoint runs/first --dataset ade150 --images val/images --labels val/labels
  ovs-jax evaluate --checkpoint runs/quickstart --preset synthetic --limit 200
"""

import argparse
from pathlib import Path

from PIL import Image

import ovs_jax
from ovs_jax.data.benchmarks import open_labelled_folders, open_voc
from ovs_jax.data.records import Source
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.data.synthetic.world import SyntheticWorld
from ovs_jax.evaluation.evaluator import BATCH, evaluate
from ovs_jax.evaluation.files import check_output_folder, write_together
from ovs_jax.evaluation.gallery import draw_gallery
from ovs_jax.evaluation.protocols import Protocol, protocol, protocol_names, synthetic_protocol
from ovs_jax.evaluation.segmentation import png

LABEL_FOLDERS = {"context60": "SegmentationClassContext"}
"""Where labels lie in the VOC layout, if not in SegmentationClass."""
SYNTHETIC_SCENES = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax evaluate``."""
    parser.add_argument(
        "--checkpoint", required=True, type=Path, help="the folder of a training run"
    )
    parser.add_argument(
        "--preset",
        default="ovsegmentor",
        help="groupvit, ovsegmentor (default) or synthetic; together with --dataset: "
        + ", ".join(protocol_names()),
    )
    parser.add_argument(
        "--dataset",
        help="the class list (default: voc21); for the synthetic preset all (default) or objects",
    )
    parser.add_argument("--data", type=Path, help="a folder in PASCAL VOC layout")
    parser.add_argument("--split", default="val", help="its list of images (default: %(default)s)")
    parser.add_argument("--images", type=Path, help="a folder of images, instead of --data")
    parser.add_argument("--labels", type=Path, help="the folder of their label maps")
    parser.add_argument(
        "--background", type=float, help="threshold of the synthetic preset for objects"
    )
    parser.add_argument("--size", type=int, default=64, help="side of synthetic scenes in pixels")
    parser.add_argument("--limit", type=int, help="judge only so many images")
    parser.add_argument(
        "--batch-size", type=int, default=BATCH, help="windows at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for report.md, report.json, report.csv and scenes.png"
    )
    parser.add_argument(
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
    source, rules = open_data(arguments)
    segmenter = ovs_jax.load(arguments.checkpoint)
    report = evaluate(
        segmenter, source, rules, limit=arguments.limit, batch_size=arguments.batch_size
    )
    print(report.to_markdown())
    if arguments.out is not None:
        count = min(arguments.scenes, report.images)
        files = {
            "report.md": report.to_markdown().encode(),
            "report.json": report.to_json().encode(),
            "report.csv": report.to_csv().encode(),
        }
        if count > 0:
            indices = [i * report.images // count for i in range(count)]
            page = draw_gallery(segmenter, source, rules, indices=indices)
            files["scenes.png"] = png(Image.fromarray(page))
        write_together({arguments.out / name: content for name, content in files.items()})
        print(f"written to {arguments.out}: {', '.join(files)}")
    return 0


def open_data(arguments: argparse.Namespace) -> tuple[Source, Protocol]:
    """The labelled images that the options name, and the protocol to judge them by.

    Raises:
      ValueError: the options do not fit together.
      FileNotFoundError: a file or folder is missing.
    """
    if arguments.preset == "synthetic":
        return _open_synthetic(arguments)
    if arguments.background is not None:
        raise ValueError(
            "--background: belongs to the synthetic preset; a published protocol has its own"
        )
    dataset = arguments.dataset or "voc21"
    rules = protocol(arguments.preset, dataset)
    pair = (arguments.images, arguments.labels)
    if (arguments.data is None) == (None in pair) or (arguments.data and any(pair)):
        raise ValueError(
            "data: expected either --data with a folder in PASCAL VOC layout, or both --images "
            "and --labels"
        )
    if arguments.data is None:
        return open_labelled_folders(*pair), rules
    labels = LABEL_FOLDERS.get(dataset, "SegmentationClass")
    return open_voc(arguments.data, split=arguments.split, labels=labels), rules


def _open_synthetic(arguments: argparse.Namespace) -> tuple[Source, Protocol]:
    kind = arguments.dataset or "all"
    if kind not in ("all", "objects"):
        raise ValueError(f"--dataset: expected 'all' or 'objects' for synthetic, got '{kind}'")
    length = arguments.limit or SYNTHETIC_SCENES
    world = SyntheticWorld(WorldConfig(size=arguments.size), split="validation", length=length)
    source = world.segmentation(kind)
    rules = synthetic_protocol(
        source.class_set, size=arguments.size, background=arguments.background
    )
    return source, rules
