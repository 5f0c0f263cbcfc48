import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from ovs_jax.data.pipeline import PipelineConfig, training_batches
from ovs_jax.data.sources import open_image_text
from ovs_jax.data.synthetic import SyntheticWorld
from ovs_jax.text.entities import EntityVocabulary
from ovs_jax.text.tokenizers import Tokenizer, load_tokenizer

EVERYTHING = (
    *("image", "caption", "prompts", "question", "answer", "cross_image", "cross_entity"),
)
CONFIG = PipelineConfig(
    batch_size=16, image_size=64, text_length=60, fields=EVERYTHING, threads=1, seed=3
)


def test_the_pipeline_works_where_jax_cannot_be_imported(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer.to_dict()))
    program = f"""
import json, sys
for name in ("jax", "jaxlib", "flax", "optax", "orbax"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from ovs_jax.data import benchmarks, pipeline, sources
from ovs_jax.text.tokenizers import Tokenizer
tokenizer = Tokenizer.from_dict(json.loads(Path({str(tmp_path / "tokenizer.json")!r}).read_text()))
class Source:
    def __len__(self): return 4
    def __getitem__(self, index):
        return {{"image": np.zeros((9, 9, 3), np.uint8), "caption": "a dog", "key": "x"}}
    def captions(self): return ["a dog"] * 4
config = pipeline.PipelineConfig(2, 8, 8, fields={EVERYTHING!r})
batches = pipeline.training_batches(Source(), tokenizer, config)
print(next(batches)["image"].shape)
batches.close()
"""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.stdout == "(2, 8, 8, 3)\n", done.stderr


def test_the_synthetic_world_becomes_batches() -> None:
    world = SyntheticWorld(length=64)
    tokenizer = load_tokenizer("synthetic")
    vocabulary = EntityVocabulary(tuple(world.entities()), world.entities())
    config = replace(CONFIG, image_size=32, text_length=32, remember=True)
    with closing(training_batches(world, tokenizer, config, vocabulary=vocabulary)) as batches:
        assert batches.records == 64  # every caption names a class
        for batch in islice(batches, 4):
            assert batch["cross_image"].shape == (16, 32, 32, 3)
            masks = (batch["question"]["ids"] == tokenizer.mask_id).sum(axis=1)
            assert (masks > 0).all()
            unknown = tokenizer(["\u2603"], length=3)[0][0, 1]
            for name in ("caption", "question", "answer", "cross_entity", "prompts"):
                assert not (batch[name]["ids"] == unknown).any(), name
                assert not batch[name]["mask"].all(axis=-1).any(), f"{name} is cut"


def test_real_photographs_become_batches(shared_data: Path, tokenizer: Tokenizer) -> None:
    source = open_image_text(shared_data / "photos_captions")
    with closing(training_batches(source, tokenizer, CONFIG)) as batches:
        for batch in islice(batches, 2):
            assert np.isfinite(batch["image"]).all()
            assert (batch["question"]["ids"] == tokenizer.mask_id).any(axis=1).all()
        assert batches.bad == {}
        assert 350 < batches.records < 545
