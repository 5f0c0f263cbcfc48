import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.damage import encoded

Photos = list[tuple[bytes, str]]


@pytest.fixture(scope="session")
def photos() -> Photos:
    """Eight small JPEG files, each with a caption."""
    random = np.random.default_rng(5)
    pixels = random.integers(0, 256, (8, 12, 16, 3)).astype(np.uint8)
    return [(encoded(Image.fromarray(p), "JPEG"), f"photo {i} é") for i, p in enumerate(pixels)]


@pytest.fixture(scope="session")
def real_pairs(shared_data: Path) -> list[tuple[str, bytes, str]]:
    """Name, encoded image and caption of the real photographs, five captions each."""
    folder = shared_data / "photos_captions"
    listed = json.loads((folder / "captions.json").read_text())
    pairs = []
    for name, captions in listed.items():
        image = (folder / "images" / f"{name}.jpg").read_bytes()
        # One has a line break, which text files and TSV cannot hold.
        pairs += [(name, image, " ".join(caption.split())) for caption in captions]
    return pairs
