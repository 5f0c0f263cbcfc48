"""Encoded photos to time: those of a folder, or drawn ones."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ovs_jax.data.sources import IMAGE_SUFFIXES


def read_photos(folder: Path, count: int) -> list[bytes]:
    """The first photos in a folder and those within.

    Raises:
      ValueError: there are none.
    """
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)[:count]
    if not files:
        raise ValueError(f"--photos {folder}: expected at least one of {IMAGE_SUFFIXES}")
    return [file.read_bytes() for file in files]


def drawn_photos(count: int, *, width: int, height: int) -> list[bytes]:
    """JPEG files of quality 90: smooth colours, shapes with edges, and the noise of a sensor."""
    photos = []
    for number in range(count):
        rng = np.random.default_rng(number)
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(12):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            axes = (int(rng.integers(8, width // 4)), int(rng.integers(8, height // 4)))
            colour = rng.integers(0, 256, 3).tolist()
            cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
        noisy = image + rng.normal(0, 4, (height, width, 1))
        file = BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        photos.append(file.getvalue())
    return photos


def describe_photos(photos: list[bytes]) -> str:
    """How many, how large in pixels and bytes on average."""
    sizes = np.array([Image.open(BytesIO(photo)).size for photo in photos])
    width, height = sizes.mean(0)
    kilobytes = np.mean([len(photo) for photo in photos]) / 1000
    return (
        f"{len(photos)} photos, {width:.0f} x {height:.0f} pixels and {kilobytes:.0f} kB on average"
    )
