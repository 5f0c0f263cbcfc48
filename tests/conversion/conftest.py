"""Small checkpoints of every kind that needs no torch to make, and a vocabulary for them."""

import json
import string
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from weights.random_models import SMALL, original_state

ORIGINAL = ("groupvit", "ovsegmentor", "dino", "timm-vit", "clip")


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
    """A CLIP vocabulary of the small models' 300 tokens, the end-of-text token last."""
    folder = tmp_path_factory.mktemp("clip")
    letters = [*string.ascii_lowercase, ".", "'"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [f"unused{i}" for i in range(298 - len(tokens))]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder
