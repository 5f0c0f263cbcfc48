"""Shows the synthetic world: a contact sheet with captions, its statistics and its speed.

python scripts/synthetic_world.py --sheet runs/world.png --size 64 --split validation
"""

import argparse
import textwrap
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig

COLUMNS, ZOOM, TEXT = 8, 160, 62


def contact_sheet(world: SyntheticWorld, count: int) -> Image.Image:
    """The first scenes in a grid, each over its caption."""
    rows = -(-count // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (ZOOM + 8), rows * (ZOOM + TEXT)), "white")
    pen = ImageDraw.Draw(sheet)
    for index in range(count):
        record = world[index]
        row, column = divmod(index, COLUMNS)
        x, y = column * (ZOOM + 8) + 4, row * (ZOOM + TEXT) + 4
        picture = Image.fromarray(record["image"]).resize((ZOOM, ZOOM), Image.Resampling.NEAREST)
        sheet.paste(picture, (x, y))
        words = textwrap.fill(record["caption"], 27)
        pen.multiline_text((x, y + ZOOM + 2), words, fill="black", font_size=11, spacing=1)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows the synthetic world.")
    parser.add_argument("--sheet", type=Path, help="PNG to write")
    parser.add_argument("--count", type=int, default=32, help="scenes on the sheet")
    parser.add_argument("--size", type=int, default=64, help="side of a scene in pixels")
    parser.add_argument("--split", choices=("train", "validation"), default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=2000, help="scenes for the statistics")
    options = parser.parse_args()
    length = max(options.scenes, options.count)
    config = WorldConfig(size=options.size)
    world = SyntheticWorld(config, split=options.split, seed=options.seed, length=length)
    if options.sheet:
        options.sheet.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(world, options.count).save(options.sheet)
        print(f"wrote {options.sheet}")

    start = time.perf_counter()
    for index in range(options.scenes):
        world[index]
    seconds = time.perf_counter() - start
    print(f"{options.scenes / seconds:.0f} scenes/s with images (one core, {options.size} px)")
    start = time.perf_counter()
    captions = world.captions()[: options.scenes]
    seconds = time.perf_counter() - start
    print(f"{len(world) / seconds:.0f} captions/s without images")

    objects = len(config.object_classes)
    labels = np.stack([world.drawing(i).label for i in range(options.scenes)])
    counts = np.bincount([len(world.scene(i).objects) for i in range(options.scenes)])
    print(f"objects cover {(labels < objects).mean():.1%} of a scene on average")
    print(f"scenes by number of objects: {(counts / counts.sum()).round(3).tolist()}")
    shares = np.bincount(labels.ravel(), minlength=len(config.class_names)) / labels.size
    named = [f"{n} {s:.1%}" for n, s in zip(config.class_names, shares, strict=True)]
    print(f"pixels by class: {', '.join(named)}")
    batches = [captions[i : i + 128] for i in range(0, len(captions) - 127, 128)]
    unique = np.mean([len(set(batch)) / 128 for batch in batches])
    print(f"different captions in a batch of 128: {unique:.1%}")
    words = [len(caption.split()) for caption in captions]
    print(f"words a caption: {np.mean(words):.1f} on average, at most {max(words)}")


if __name__ == "__main__":
    main()
