"""What class names are embedded with: attributes, or a CLIP that was converted."""

from pathlib import Path

import jax
import numpy as np
import pytest

from ovs_jax.data.synthetic import attributes
from ovs_jax.models import registry
from ovs_jax.models.text.config import TextConfig
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.nn import functional
from ovs_jax.text.prompts import templates
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training.checkpoint import write_model
from ovs_jax.training.class_text import class_embedder, load_clip

TOKENIZER = load_tokenizer("synthetic")
CLIP = ClipConfig(
    image=VisionConfig(image_size=32, patch_size=16, width=16, depth=1, heads=2, hidden=32),
    text=TextConfig(
        kind="clip", vocabulary=TOKENIZER.vocab_size, length=16, width=16, depth=1, heads=2,
        hidden=32,
    ),
    embedding=8,
)  # fmt: skip


def write(folder: Path, config: registry.AnyConfig, **changes: object) -> Path:
    """A model with random weights, as ``ovs-jax convert`` would leave it."""
    _, params, stats = functional.abstract(registry.build(config))
    rng = np.random.default_rng(0)
    draw = lambda x: (0.2 * rng.standard_normal(x.shape)).astype(np.float32)  # noqa: E731
    weights = {"params": jax.tree.map(draw, params), "stats": jax.tree.map(draw, stats)}
    description = {
        "config": {},
        "model": registry.to_dict(config),
        "tokenizer": TOKENIZER.to_dict(),
    }
    write_model(folder, weights, description=description | changes)
    return folder


def test_clip_embeds_names_in_the_prompts_of_the_config(tmp_path: Path) -> None:
    folder = str(write(tmp_path, CLIP))
    names = ["dog", "zebra, cow"]
    unit = class_embedder(folder).embed_classes(names, templates=templates("scene"))
    assert unit.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    clip = load_clip(folder)
    assert clip.text_length == 16
    ours = clip.embed_classes(names, templates=["A photo of a {} in the scene"])
    np.testing.assert_array_equal(unit, ours)
    bare = clip.embed_classes(names, templates=templates("identity"))
    assert np.abs(bare - unit).max() > 1e-3


def test_attributes_need_no_clip() -> None:
    found = class_embedder("attributes").embed_classes(["dog"], templates=templates("scene"))
    np.testing.assert_array_equal(found, attributes.embed(["dog"]))


def test_what_is_no_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data.text: .*nowhere holds no usable checkpoint"):
        class_embedder(str(tmp_path / "nowhere"))
    without = write(tmp_path / "without", CLIP, tokenizer={})
    with pytest.raises(ValueError, match=r"clip: .*without/checkpoints/0 was converted without a"):
        load_clip(without)
    text = write(tmp_path / "text", CLIP.text)
    with pytest.raises(ValueError, match=r"data.text: .* holds a text_transformer, expected clip"):
        class_embedder(str(text))
