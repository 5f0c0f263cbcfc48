"""How fast the training input and the preparation of data are, and how much memory they take.

    python scripts/bench_data.py                          all cases, with drawn photos
    python scripts/bench_data.py --photos FOLDER          with the photos of a folder
    python scripts/bench_data.py --cases index --captions 4000000

decode   images a second and core: decoding alone, by Pillow and as done here, and with the image
         preparation of each recipe
batches  batches a second from end to end, entries and preparation of both recipes, 0, 1, 2 workers
ingest   MB and images a second of ``ovs-jax data ingest``, in one process
filter   captions a second of ``ovs-jax data filter-entities``, in one process
index    time and peak memory of ``ovs-jax data index-entities``, and of opening the index

decode and filter count processor time, decode that of its fastest round, which other work on the
machine distorts little; the others are wall-clock times. How long decoding takes depends on what
the photos show: drawn ones are smooth colours, shapes and noise.
"""

import argparse
import json
import os
import pickle
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from benchmark import machine
from benchmark.captions import made_captions
from benchmark.photos import describe_photos, drawn_photos, read_photos
from PIL import Image

from ovs_jax.data.caption_rows import RowFile
from ovs_jax.data.filtering import filter_rows
from ovs_jax.data.images import Photo, decode_image
from ovs_jax.data.index_files import write_index
from ovs_jax.data.ingest import IngestOptions, ingest
from ovs_jax.data.pipeline import PipelineConfig, augmentation, training_batches
from ovs_jax.text.entities import RULES, CorrectedRule, entity_rule
from ovs_jax.text.tokenizers import load_tokenizer

CASES = ("decode", "batches", "ingest", "filter", "index")
SIZE = 224
FIELDS = {
    "stage1": ("image", "caption", "question", "answer"),
    "stage2": ("image", "caption", "question", "answer", "cross_image", "cross_entity"),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Photos:
    """A source of photos that lie in memory, with made captions; all of them have an entity."""

    files: list[bytes]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.files[index % len(self.files)]
        return {"image": image, "caption": self.texts[index], "key": str(index)}

    def captions(self) -> list[str]:
        return self.texts


def in_seconds_each(functions: dict[str, Callable[[int], Any]], *, count: int, repeats: int) -> Row:
    """The processor time of one call; rounds take turns, and the fastest round of each counts."""
    rounds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            for number in range(count):
                function(number)
            rounds[name].append((time.process_time() - start) / count)
    return {name: min(seconds) for name, seconds in rounds.items()}


def bench_decode(photos: list[bytes], arguments: argparse.Namespace) -> Row:
    recipes = {name: augmentation(name, SIZE) for name in FIELDS}

    def prepare(name: str, number: int) -> None:
        rng = np.random.default_rng((1, number))
        recipes[name](Photo(photos[number], name="photo"), rng)

    functions: dict[str, Callable[[int], Any]] = {
        "Pillow": lambda number: np.asarray(Image.open(BytesIO(photos[number])).convert("RGB")),
        "decoding": lambda number: decode_image(photos[number], name="photo"),
    }
    for name in recipes:
        functions[f"decoding + {name}"] = lambda number, name=name: prepare(name, number)
    seconds = in_seconds_each(functions, count=len(photos), repeats=arguments.repeats)
    row = {name: {"images_per_second_and_core": 1 / value} for name, value in seconds.items()}
    for name, value in seconds.items():
        shares = {other: seconds[other] / value for other in ("decoding", "Pillow")}
        row[name] |= {f"share_of_{other}_speed".lower(): share for other, share in shares.items()}
        told = ", ".join(f"{share:.0%} of {other} alone" for other, share in shares.items())
        print(f"  {name:<20} {1 / value:8.0f} images/s and core, {told}")
    return row


def bench_batches(photos: list[bytes], arguments: argparse.Namespace) -> Row:
    tokenizer = load_tokenizer("synthetic")
    texts = [f"A dog: {caption}" for caption in next(made_captions(20 * arguments.batch))]
    source = Photos(photos, texts)
    row: Row = {}
    for name, fields in FIELDS.items():
        for workers in (0, 1, 2):
            config = PipelineConfig(
                arguments.batch, SIZE, 77, fields=fields, augmentation=name, workers=workers
            )
            batches = training_batches(source, tokenizer, config)
            for _ in range(3):
                next(batches)
            start = time.perf_counter()
            for _ in range(arguments.batches):
                next(batches)
            rate = arguments.batches / (time.perf_counter() - start)
            batches.close()
            images = rate * arguments.batch * sum("image" in field for field in fields)
            row[f"{name}, {workers} workers"] = {"batches_per_second": rate}
            print(
                f"  {name}, {workers} workers      {rate:6.2f} batches/s of {arguments.batch}, "
                f"{images:.0f} images/s"
            )
    return row


def bench_ingest(photos: list[bytes], folder: Path, arguments: argparse.Namespace) -> Row:
    source = folder / "photos"
    source.mkdir()
    copies = max(arguments.ingested // len(photos), 1)
    for number, photo in enumerate(photos * copies):
        (source / f"{number:06d}.jpg").write_bytes(photo)
        (source / f"{number:06d}.txt").write_text("a dog", encoding="utf-8")
    row: Row = {}
    for verify in (True, False):
        start = time.perf_counter()
        manifest = ingest(source, folder / f"shards-{verify}", IngestOptions(verify=verify))
        seconds = time.perf_counter() - start
        rates = {
            "megabytes_per_second": manifest.bytes / 1e6 / seconds,
            "images_per_second": manifest.kept / seconds,
        }
        told = "every image decoded" if verify else "headers only"
        print(
            f"  {told:<20} {rates['megabytes_per_second']:8.1f} MB/s, "
            f"{rates['images_per_second']:.0f} images/s"
        )
        row |= rates if verify else {f"{name}_unverified": rate for name, rate in rates.items()}
    return row


def bench_filter(folder: Path, arguments: argparse.Namespace) -> Row:
    source = folder / "captions.txt"
    with open(source, "w", encoding="utf-8") as file:
        for block in made_captions(arguments.captions):
            file.write("\n".join(block) + "\n")
    row: Row = {}
    for name in RULES:
        start = time.process_time()
        report = filter_rows(RowFile(source), folder / "kept.txt", entity_rule(name))
        rate = report.read / (time.process_time() - start)
        row[name] = {"captions_per_second": rate, "kept": report.kept, "read": report.read}
        print(f"  {name} rule {rate:12.0f} captions/s, {report.kept} of {report.read} kept")
    return row


def bench_index(folder: Path, arguments: argparse.Namespace) -> Row:
    machine.forget_peak_memory()
    start = time.perf_counter()
    out = folder / "index"
    index = write_index(
        made_captions(arguments.captions), CorrectedRule(), out, workers=arguments.workers
    )
    row: Row = {
        "captions": arguments.captions,
        "workers": arguments.workers,
        "seconds": time.perf_counter() - start,
        "peak_memory_bytes": machine.peak_memory(),
        "largest_worker_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        "pairs": len(index.entities),
        "files_bytes": sum(file.stat().st_size for file in out.iterdir()),
        "pickled_bytes": len(pickle.dumps(index)),
    }
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for place in rng.integers(len(index), size=2000).tolist():
        index.partner(place, rng)
    row["partners_per_second"] = 2000 / (time.perf_counter() - start)
    print(
        f"  {row['captions']} captions in {row['seconds']:.1f} s with {row['workers']} workers; "
        f"peak memory {row['peak_memory_bytes'] / 1e6:.0f} MB, of a worker "
        f"{row['largest_worker_bytes'] / 1e6:.0f} MB\n"
        f"  {row['pairs']} pairs in {row['files_bytes'] / 1e6:.0f} MB of files, "
        f"{row['pickled_bytes']} bytes to a worker, {row['partners_per_second']:.0f} partners/s"
    )
    return row


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos to decode")
    parser.add_argument("--count", type=int, default=64, help="photos to use (default 64)")
    parser.add_argument("--size", default="640x480", help="of drawn photos (default 640x480)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of decoding (default 5)")
    parser.add_argument("--batch", type=int, default=64, help="records a batch (default 64)")
    parser.add_argument("--batches", type=int, default=10, help="timed batches (default 10)")
    parser.add_argument("--ingested", type=int, default=1000, help="photos to ingest")
    parser.add_argument("--captions", type=int, default=200_000, help="made captions")
    parser.add_argument("--workers", type=int, default=1, help="processes that read entities")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers to this file")
    parsed = parser.parse_args(arguments)
    for name in ("count", "repeats", "batch", "batches", "captions"):
        if getattr(parsed, name) < 1:
            parser.error(f"--{name}: got {getattr(parsed, name)}, expected at least 1")
    return parsed


def main(arguments: list[str] | None = None) -> int:
    """Reads the arguments, measures, prints; 1 with a message if something is missing."""
    parsed = parse(arguments)
    cv2.setNumThreads(1)  # a rate is of one core
    try:
        width, height = (int(side) for side in parsed.size.split("x"))
        if parsed.photos:
            photos = read_photos(parsed.photos, parsed.count)
        else:
            photos = drawn_photos(parsed.count, width=width, height=height)
    except ValueError as error:
        print(f"bench_data: {error}", file=sys.stderr)
        return 1
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    told = (
        f"{machine.processor()}, {cores} cores, load average {load:.1f}; {describe_photos(photos)}"
    )
    print(told)
    rows: Row = {"environment": told}
    for name in parsed.cases:
        print(f"{name}:", flush=True)
        with TemporaryDirectory() as folder:
            if name in ("decode", "batches"):
                in_memory = {"decode": bench_decode, "batches": bench_batches}
                rows[name] = in_memory[name](photos, parsed)
            elif name == "ingest":
                rows[name] = bench_ingest(photos, Path(folder), parsed)
            else:
                on_disk = {"filter": bench_filter, "index": bench_index}
                rows[name] = on_disk[name](Path(folder), parsed)
    if parsed.json:
        parsed.json.parent.mkdir(parents=True, exist_ok=True)
        parsed.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
