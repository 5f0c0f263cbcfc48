"""Converted weights against the libraries that they are for: torch and transformers.

Runs where those are installed, by ``bash scripts/test.sh --reference``. Sizes are small here;
scripts/verify_weights.py does the same at the published ones.
"""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights.numpy_segmentation import at_size, segment
from weights.random_models import SMALL, make, spread

import ovs_jax
from ovs_jax.cli.main import main
from ovs_jax.conversion.convert import convert
from ovs_jax.conversion.export import write_groupvit_hf
from ovs_jax.conversion.rules import to_foreign
from ovs_jax.conversion.verify import TOLERANCE, WITHOUT, verify
from ovs_jax.data.transforms import normalize
from ovs_jax.losses.contrastive import contrastive
from ovs_jax.models import registry
from ovs_jax.models.vision.config import ClipConfig
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import load_tokenizer
from tests.conversion.conftest import clip_vocabulary, read

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of theirs, while they are imported
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
__all__ = ["clip_vocabulary"]
COMPARED = [source for source in SMALL if source not in WITHOUT]
FOLDERS = ("groupvit-hf", "bert", "roberta", "clip-hf", "vit-hf")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of every kind, as their publishers would offer them."""
    root = tmp_path_factory.mktemp("published")
    return {source: make(source, SMALL[source], root / source) for source in COMPARED}


@pytest.mark.parametrize("source", COMPARED)
def test_every_output_equals_the_librarys(source: str, published: dict[str, Path]) -> None:
    conversion = convert(source, published[source])
    assert conversion.config == SMALL[source]
    rows = verify(conversion, published[source])
    assert {row.output: row.difference for row in rows if not row.passed} == {}
    assert all(row.scale > 0.1 for row in rows), "nothing is compared with zero"


def test_a_wrong_array_is_found(published: dict[str, Path]) -> None:
    conversion = convert("groupvit", published["groupvit"])
    stages = conversion.params["image_encoder"]["stages"]
    stages["1"]["blocks"]["0"]["attention_norm"]["bias"] += 1e-2
    failed = {row.output for row in verify(conversion, published["groupvit"]) if not row.passed}
    assert {"groups", "soft map, stage 2"} <= failed
    assert "soft map, stage 1" not in failed


@pytest.mark.parametrize("source", FOLDERS)
def test_both_formats_of_a_folder_give_the_same(
    source: str, published: dict[str, Path], tmp_path: Path
) -> None:
    state = read(published[source] / "model.safetensors")
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((published[source] / "config.json").read_bytes())
    one, other = convert(source, published[source]), convert(source, tmp_path)
    assert one.config == other.config
    assert set(one.entries) == set(other.entries)
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_training_checkpoint_of_torchs_is_read_beside_what_else_it_holds(
    zipped: bool, published: dict[str, Path], tmp_path: Path
) -> None:
    state = read(published["ovsegmentor"])
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    content = {"model": tensors, "epoch": 29, "optimizer": {"state": {}, "param_groups": [{}]}}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    conversion = convert("ovsegmentor", tmp_path / "a.pth")
    assert conversion.beside == ("epoch", "optimizer")
    expected = convert("ovsegmentor", published["ovsegmentor"])
    jax.tree.map(np.testing.assert_array_equal, conversion.params, expected.params)


def test_bfloat16_of_torchs_is_read_exactly(published: dict[str, Path], tmp_path: Path) -> None:
    state = {n: torch.from_numpy(x) for n, x in read(published["dino"]).items()}
    halves = {name: tensor.bfloat16() for name, tensor in state.items()}
    torch.save(halves, tmp_path / "dino.pth")
    params = convert("dino", tmp_path / "dino.pth").params
    np.testing.assert_array_equal(params["norm"]["scale"], halves["norm.weight"].float().numpy())


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("how", ["zip", "legacy", "plain pickle"])
def test_a_crafted_pickle_is_refused_and_does_not_run(how: str, tmp_path: Path) -> None:
    mark, file = tmp_path / "it-ran", tmp_path / "trap.pth"
    content = {"model": {"a": torch.zeros(1)}, "config": Trap(mark)}
    if how == "plain pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ValueError, match="refused") as error:
        convert("groupvit", file)
    assert not mark.exists()
    assert "holds more than arrays" in str(error.value)
    assert "weights_only=False" in str(error.value)
    assert "save_file" in str(error.value)


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "clip.pt"))
    with pytest.raises(ValueError, match="TorchScript archive"):
        convert("clip", tmp_path / "clip.pt")


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    for content, message in (
        ([1], "expected arrays by name, got list"),
        ({"epoch": 3}, "got epoch"),
        ({"model": {}}, "got nothing"),
    ):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ValueError, match=message):
            convert("groupvit", tmp_path / "a.pth")


def test_an_export_is_a_model_of_the_library(published: dict[str, Path], tmp_path: Path) -> None:
    conversion = convert("groupvit", published["groupvit"])
    weights = {"params": conversion.params, "stats": conversion.stats}
    write_groupvit_hf(tmp_path, conversion.config, weights, end_id=None)
    _, told = transformers.GroupViTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values())
    exported = convert("groupvit-hf", tmp_path)
    assert all(row.passed for row in verify(exported, tmp_path))


def test_loss_and_gradients_equal_the_librarys(published: dict[str, Path]) -> None:
    conversion = convert("groupvit-hf", published["groupvit-hf"])
    theirs = transformers.GroupViTModel.from_pretrained(published["groupvit-hf"]).eval()
    text = conversion.config.text
    random = np.random.default_rng(3)
    images = random.normal(size=(4, 64, 64, 3)).astype(np.float32)
    ids = random.integers(3, text.vocabulary - 2, (4, 12)).astype(np.int32)
    ids[:, -1] = text.vocabulary - 1
    mask = np.ones_like(ids, bool)
    found = theirs(
        input_ids=torch.from_numpy(ids).long(),
        attention_mask=torch.from_numpy(mask).int(),
        pixel_values=torch.from_numpy(images.transpose(0, 3, 1, 2).copy()),
        return_loss=True,
    )
    found.loss.backward()
    static, _, _ = registry.shapes(conversion.config)

    @jax.jit
    def loss(params: functional.Tree) -> jax.Array:
        model = functional.bind(static, params, conversion.stats)
        image = model.project_image(model.encode_image(jnp.asarray(images)).pooled)
        words = {"ids": jnp.asarray(ids), "mask": jnp.asarray(mask)}
        embedded = model.project_text(model.encode_text(words).pooled)
        return contrastive(image, embedded, logit_scale=model.logit_scale[...])

    with jax.default_matmul_precision("highest"):
        value, gradients = jax.value_and_grad(loss)(conversion.params)
    assert abs(float(value) - found.loss.item()) <= 1e-5
    ours = to_foreign(jax.device_get(gradients), conversion.source.rules)
    reference = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    largest = max(float(gradient.norm()) for gradient in reference.values())
    compared = 0
    for name, gradient in reference.items():
        size = float(gradient.norm())
        difference = np.linalg.norm(ours[name] - gradient.numpy())
        if size > 1e-6 * largest:  # what is exactly zero in theory is rounding on both sides
            assert difference <= 1e-4 * max(size, 1e-3 * largest), name
            compared += 1
    assert compared > 0.8 * len(reference)


def test_a_photo_gets_the_labels_that_the_librarys_maps_give(
    published: dict[str, Path], clip_vocabulary: Path, tmp_path: Path
) -> None:
    classes = ["dog", "sofa", "wide field", "cat", "bus", "person", "tree"]
    coarse = np.random.default_rng(5).integers(0, 256, (7, 9, 3), np.uint8)
    photo = np.kron(coarse, np.ones((20, 21, 1), np.uint8))
    tokenizer = load_tokenizer(f"clip:{clip_vocabulary}")
    prompts = tokenizer([f"a photo of a {name}." for name in classes], length=16)
    pixels = normalize(photo)
    crops = np.stack([pixels[y:, x:][:128, :128] for y in (0, -128) for x in (0, -128)])
    library = transformers.GroupViTModel.from_pretrained(published["groupvit-hf"])
    spread(library, at_size(library, 128), crops, prompts).save_pretrained(tmp_path / "model")
    words = ["convert", "groupvit-hf", str(tmp_path / "model"), str(tmp_path / "weights")]
    assert main([*words, f"--tokenizer=clip:{clip_vocabulary}"]) == 0
    segmenter = ovs_jax.load(tmp_path / "weights")
    geometry = segmenter.geometry
    for background in (None, 0.5):
        ours = segmenter.segment(photo, classes, background=background)
        theirs = segment(
            at_size(library, geometry.window),
            tokenizer,
            photo,
            classes,
            background=background,
            short_side=geometry.short_side,
            window=geometry.window,
            stride=geometry.stride,
            text_length=segmenter.text_length,
        )
        clear = theirs.margin > TOLERANCE
        assert clear.mean() > 0.9
        assert theirs.groups > 2
        assert len(np.unique(theirs.labels[clear])) > 1
        scores = ours.scores.transpose(1, 2, 0)[clear]
        np.testing.assert_allclose(scores, theirs.scores[clear], rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(ours.labels[clear], theirs.labels[clear])


def test_clip_of_the_published_size_equals_the_librarys(tmp_path: Path) -> None:
    """ViT-B/16, which ZegFormer reads class names with and asks about masks."""
    conversion = convert("clip-hf", make("clip-hf", ClipConfig(), tmp_path / "clip"))
    assert conversion.config == ClipConfig()
    rows = verify(conversion, tmp_path / "clip")
    assert {row.output: row.difference for row in rows if not row.passed} == {}
    assert all(row.scale > 0.1 for row in rows)
