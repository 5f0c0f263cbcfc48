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
from ovs_jax.text.tokenizers import load_tokenizer
from weights.numpy_segmentation import at_size, segment
from weights.random_models import FULL, library_model, spread

CLASSES = ("dog", "sofa", "person", "boat", "sky", "water", "grass", "aeroplane")


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
        pixels = normalize(np.asarray(Image.fromarray(image).resize((448, 448))))
        crops = np.stack([pixels[y : y + 224, x : x + 224] for y in (0, 224) for x in (0, 224)])
        library = spread(library_model(source, config), crops, prompts)
        library.save_pretrained(folder / "model")
        words = ["convert", source, str(folder / "model"), str(folder / "ours")]
        if command([*words, f"--tokenizer=clip:{vocabulary}"]):
            return False
        segmenter = ovs_jax.load(folder / "ours")
        geometry = segmenter.geometry
        larger = at_size(library, geometry.window)
        passed = True
        for background in (None, 0.5):
            ours = segmenter.segment(image, CLASSES, background=background).labels
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
            wrong = int((ours != theirs.labels)[clear].sum())
            found = len(np.unique(theirs.labels[clear]))
            print(
                f"segmentation of {photo or 'a drawn scene'} {image.shape[:2]}, background "
                f"{background}: {clear.sum()} of {clear.size} pixels have a margin, {found} "
                f"classes among them, {wrong} differ; {time.monotonic() - started:.0f} s so far"
            )
            passed = passed and wrong == 0
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
