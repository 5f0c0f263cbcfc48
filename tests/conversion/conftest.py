"""Small checkpoints of every kind that needs no torch to make, and a vocabulary for them."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from weights.full_segmentation import write_vocabulary
from weights.random_models import SMALL, original_state

ORIGINAL = (
    "groupvit", "ovsegmentor", "zegformer", "dino", "timm-vit", "clip", "resnet",
    "resnet-detectron",
)  # fmt: skip


def write(path: Path, state: dict[str, np.ndarray]) -> Path:
    safetensors.numpy.save_file({name: np.asarray(x, order="C") for name, x in state.items()}, path)
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(path)


@pytest.fixture(scope="session")
def states() -> dict[str, dict[str, np.ndarray]]:
    """Random original checkpoints by source; copy one before changing it."""
    return {source: original_state(source, SMALL[source]) for source in ORIGINAL}


@pytest.fixture(scope="session")
def clip_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP vocabulary of the small models' tokens, the end-of-text token last."""
    folder = tmp_path_factory.mktemp("clip")
    return write_vocabulary(folder, size=SMALL["groupvit"].text.vocabulary)
