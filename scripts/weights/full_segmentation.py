"""A photo, segmented with a converted full-size GroupViT and from the maps of transformers."""

import json
import string
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import ovs_jax
from ovs_jax.cli.main import main as command
from ovs_jax.conversion.verify import TOLERANCE
from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig
from ovs_jax.data.transforms import normalize
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.text.tokenizers import load_tokenizer
from weights.numpy_segmentation import at_size, segment
from weights.random_models import FULL, library_model, spread

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table",
    "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "monitor",
)  # fmt: skip


def compare(photo: Path | None) -> bool:
    """Prints how many pixels were compared and whether all of them agree.

    Args:
      photo: an image file; None for a scene of the synthetic world.
    """
    if photo is None:
        image = SyntheticWorld(WorldConfig(size=320), length=1).drawing(0).image
    else:
        image = np.asarray(Image.open(photo).convert("RGB"))
    started = time.monotonic()
    source, config = FULL["GroupViT ViT-S, Hugging Face"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocabulary = write_vocabulary(folder, size=config.text.vocabulary)
        tokenizer = load_tokenizer(f"clip:{vocabulary}")
        prompts = tokenizer([f"a photo of a {name}." for name in CLASSES], length=77)
        library = library_model(source, config)
        window = 2 * config.encoder.image_size
        # Two windows of its short side, as the segmentation will see them.
        pixels = normalize(Geometry(short_side=window).resized(image))
        places = ((0, 0), (-window, -window))
        crops = np.stack([pixels[y:, x:][:window, :window] for y, x in places])
        spread(library, at_size(library, window), crops, prompts)
        library.save_pretrained(folder / "model")
        words = ["convert", source, str(folder / "model"), str(folder / "ours")]
        if command([*words, f"--tokenizer=clip:{vocabulary}"]):
            return False
        segmenter = ovs_jax.load(folder / "ours")
        geometry = segmenter.geometry
        larger = at_size(library, geometry.window)
        passed = True
        for background in (None, 0.5):
            ours = segmenter.segment(image, CLASSES, background=background)
            theirs = segment(
                larger,
                tokenizer,
                image,
                CLASSES,
                background=background,
                short_side=geometry.short_side,
                window=geometry.window,
                stride=geometry.stride,
                text_length=segmenter.text_length,
            )
            clear = theirs.margin > TOLERANCE
            wrong = int((ours.labels != theirs.labels)[clear].sum())
            difference = np.abs(ours.scores.transpose(1, 2, 0) - theirs.scores)[clear].max()
            print(
                f"segmentation of {photo or 'a drawn scene'} {image.shape[:2]}, background "
                f"{background}: {clear.sum()} of {clear.size} pixels have a margin, "
                f"{theirs.groups} groups and {len(np.unique(theirs.labels[clear]))} classes among "
                f"them, {wrong} labels differ, scores by {difference:.1e} at most; "
                f"{time.monotonic() - started:.0f} s so far"
            )
            passed = passed and wrong == 0 and bool(difference <= TOLERANCE)
        return passed


def write_vocabulary(folder: Path, *, size: int) -> Path:
    """A CLIP vocabulary without merges: words are spelt, the end-of-text token has the last id."""
    letters = [*string.ascii_lowercase, *string.digits, *".,'-"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [f"unused{i}" for i in range(size - 2 - len(tokens))]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder
