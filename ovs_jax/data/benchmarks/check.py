"""Validates every file of a benchmark: readable, of equal sizes, labels of the class list."""

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from ovs_jax.data.benchmarks.catalogue import BENCHMARKS, View, find_view, open_benchmark
from ovs_jax.data.images import decode_image
from ovs_jax.data.records import BadRecordError, Record
from ovs_jax.text.class_sets import imagenet_names

EXAMPLES = 5
"""Faulty records that are named, of each kind."""
_AT_A_TIME = 256


@dataclass(frozen=True)
class BenchmarkReport:
    """What a check of a benchmark found.

    Attributes:
      benchmark: its name.
      view: how its labels were read.
      split: the part.
      records: how many it has.
      names: the classes.
      pixels: labelled pixels of each class; of a classification set, its images.
      images: images with each class.
      unjudged: pixels that are ignored, or name no class.
      faults: how many records cannot be used, by reason.
      examples: the messages of the first ones, by reason.
    """

    benchmark: str
    view: str
    split: str
    records: int
    names: tuple[str, ...] = field(repr=False)
    pixels: Int[np.ndarray, " c"] = field(repr=False)
    images: Int[np.ndarray, " c"] = field(repr=False)
    unjudged: int
    faults: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]] = field(repr=False)

    @property
    def sound(self) -> bool:
        """Whether every record can be used."""
        return not self.faults

    def to_markdown(self) -> str:
        """The report as text with a table of the classes."""
        total = int(self.pixels.sum()) + self.unjudged
        bad = sum(self.faults.values())
        lines = [
            f"{self.benchmark}, split '{self.split}', labels of {self.view}: {self.records} "
            f"records, {bad} faulty",
            "",
        ]
        for reason, count in self.faults.items():
            lines += [f"{count} × {reason}:", *(f"  {text}" for text in self.examples[reason]), ""]
        absent = [name for name, count in zip(self.names, self.images, strict=True) if not count]
        lines += [
            f"{len(self.names) - len(absent)} of {len(self.names)} classes are present; "
            f"{self.unjudged / max(total, 1):.2%} of the pixels are not judged",
            "",
            "| class | images | share of pixels |",
            "|---|---:|---:|",
        ]
        order = np.argsort(-self.pixels, kind="stable")
        lines += [
            f"| {self.names[i]} | {self.images[i]} | {self.pixels[i] / max(total, 1):.3%} |"
            for i in order
            if self.images[i]
        ]
        return "\n".join(lines)


def checked(record: Record, view: View) -> Int[np.ndarray, " c"]:
    """Decodes a record of an opened benchmark to see whether it can be used.

    Args:
      record: as `open_benchmark` gives it.
      view: how its labels are read.

    Returns:
      Pixels of each class, and last those that are ignored or name no class; of a classification
      set one image of its class, and a last 0.

    Raises:
      BadRecordError: the image cannot be read, or image and label map differ in size.
    """
    key = str(record["key"])
    height, width = decode_image(record["image"], name=key).shape[:2]
    if view.classes is None:
        counts = np.zeros(1001, np.int64)
        counts[record["label_index"]] = 1
        return counts
    label, classes = record["label"], len(view.classes)
    if label.shape != (height, width):
        raise BadRecordError(
            str(record["label_key"]),
            "label map of another size",
            f"expected the {height} x {width} of {key}, got {label.shape[0]} x {label.shape[1]}",
        )
    return np.bincount(np.minimum(label, classes).ravel(), minlength=classes + 1)


def check_benchmark(
    name: str, root: str | Path, *, split: str | None = None, progress: bool = True
) -> BenchmarkReport:
    """Reads and decodes every record of a benchmark, official or prepared.

    Args:
      name: as in `open_benchmark`.
      root: as in `open_benchmark`.
      split: as in `open_benchmark`.
      progress: whether a bar is shown.

    Returns:
      Counts, and what is wrong with how many records.

    Raises:
      FileNotFoundError, ValueError: as `open_benchmark`, if it cannot be opened at all.
    """
    benchmark, view = find_view(name)
    source = open_benchmark(name, root, split=split)
    names = imagenet_names() if view.classes is None else view.classes.names
    pixels, images = np.zeros((2, len(names) + 1), np.int64)
    faults: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}

    def examine(index: int) -> np.ndarray | BadRecordError:
        try:
            return checked(source[index], view)
        except BadRecordError as error:
            return error

    with (
        ThreadPoolExecutor(min(os.cpu_count() or 1, 16), thread_name_prefix="check") as pool,
        tqdm(total=len(source), unit="image", disable=not progress, desc=name) as bar,
    ):
        for first in range(0, len(source), _AT_A_TIME):
            for result in pool.map(examine, range(first, min(first + _AT_A_TIME, len(source)))):
                bar.update()
                if isinstance(result, BadRecordError):
                    faults[result.reason] += 1
                    examples.setdefault(result.reason, []).append(str(result))
                else:
                    pixels += result
                    images += result > 0
    return BenchmarkReport(
        benchmark=benchmark.name,
        view=view.name,
        split=split or benchmark.splits[0],
        records=len(source),
        names=names,
        pixels=pixels[:-1],
        images=images[:-1],
        unjudged=int(pixels[-1]),
        faults=dict(faults),
        examples={reason: tuple(found[:EXAMPLES]) for reason, found in examples.items()},
    )


def detect(root: str | Path) -> tuple[str, ...]:
    """The benchmarks whose layout a folder has, for the evaluated split.

    Raises:
      FileNotFoundError: it has none; the message says what each lacks.
    """
    lacking, found, holds = [], [], ""
    for benchmark in BENCHMARKS.values():
        try:
            open_benchmark(benchmark.name, root)
        except (FileNotFoundError, ValueError) as error:
            message, _, holds = str(error).partition("; found ")
            lacking.append(message.replace(f" {root}", "", 1))
        else:
            found.append(benchmark.name)
    if not found:
        raise FileNotFoundError(
            f"{root}: expected the layout of a benchmark; {'; '.join(lacking)}; "
            f"found {holds or 'no folder'}"
        )
    return tuple(found)
