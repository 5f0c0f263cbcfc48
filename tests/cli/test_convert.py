"""The commands ``convert`` and ``zoo``, and what becomes of what they make."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from weights.random_models import SMALL, original_state

import ovs_jax
from ovs_jax.cli.main import main
from ovs_jax.conversion import verify
from ovs_jax.conversion.verify import Comparison
from ovs_jax.training.checkpoint import load_model
from tests.conversion.conftest import clip_vocabulary, read, write

__all__ = ["clip_vocabulary"]
CONFIG: Any = SMALL["groupvit"]
CONFIG = replace(  # fewer layers, as it is compiled here
    CONFIG,
    encoder=replace(
        CONFIG.encoder, depths=(1, 1), heads=(2, 2), group_tokens=(8, 0), output_groups=(4,)
    ),
    text=replace(CONFIG.text, depth=1),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "groupvit.safetensors"
    return write(path, original_state("groupvit", CONFIG))


@pytest.fixture(scope="module")
def converted(
    checkpoint: Path, clip_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("weights") / "groupvit"
    tokenizer = f"--tokenizer=clip:{clip_vocabulary}"
    assert main(["convert", "groupvit", str(checkpoint), str(out), tokenizer]) == 0
    return out


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_a_converted_model_segments_a_photo(converted: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((160, 128)).save(tmp_path / "photo.png")
    options = ["--classes", "dog, sofa, person", "--checkpoint", converted]
    assert run("segment", tmp_path / "photo.png", *options, "--out", tmp_path / "out") == 0
    summary = json.loads((tmp_path / "out" / "photo.json").read_text())
    assert (summary["height"], summary["width"]) == (128, 160)
    segmenter = ovs_jax.load(converted)
    assert segmenter.geometry.window == 2 * CONFIG.encoder.image_size
    assert segmenter.text_length == CONFIG.text.length


def test_the_folder_says_what_it_is(converted: Path, checkpoint: Path) -> None:
    assert {file.name for file in converted.iterdir()} == {
        "MODEL_CARD.md", "checkpoints", "conversion.json", "unused.safetensors",
    }  # fmt: skip
    card = (converted / "MODEL_CARD.md").read_text()
    assert str(checkpoint) in card
    assert "* Tokenizer: clip, 300 words" in card
    loaded = load_model(converted)
    assert (loaded.model_config, loaded.step) == (CONFIG, 0)


def test_it_goes_back_bit_for_bit_and_into_a_hugging_face_folder(
    converted: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "back.safetensors"
    assert run("convert", "ours", converted, out, "--to", "safetensors") == 0
    before, after = read(checkpoint), read(out)
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert array.tobytes() == after[name].tobytes()
        assert array.dtype == after[name].dtype
    assert run("convert", "ours", converted, tmp_path / "hf", "--to", "groupvit-hf") == 0
    assert run("convert", "groupvit-hf", tmp_path / "hf", tmp_path / "again") == 0
    again = load_model(tmp_path / "again").params
    loaded = load_model(converted).params
    del loaded["multi_label_logit_scale"]
    jax.tree.map(np.testing.assert_array_equal, again, loaded)


def test_published_weights_go_from_one_form_to_another(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", "groupvit", checkpoint, tmp_path / "hf", "--to", "groupvit-hf") == 0
    assert (tmp_path / "hf" / "config.json").is_file()
    assert "left out: multi_label_logit_scale: this form has no multi" in capsys.readouterr().out


def test_a_hugging_face_folders_own_tokenizer_is_found(
    checkpoint: Path, clip_vocabulary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("convert", "groupvit", checkpoint, tmp_path / "hf", "--to", "groupvit-hf")
    for file in clip_vocabulary.iterdir():
        (tmp_path / "hf" / file.name).write_bytes(file.read_bytes())
    assert run("convert", "groupvit-hf", tmp_path / "hf", tmp_path / "out") == 0
    assert "tokenizer: clip, 300 words" in capsys.readouterr().out


def test_an_encoder_is_converted_but_does_not_segment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "dino.safetensors", original_state("dino", SMALL["dino"]))
    assert run("convert", "dino", tmp_path / "dino.safetensors", tmp_path / "dino") == 0
    assert "tokenizer: none, the model reads no text" in capsys.readouterr().out
    with pytest.raises(ValueError, match="'vision_transformer' is an encoder alone"):
        ovs_jax.load(tmp_path / "dino")


def test_without_a_tokenizer_it_is_told_what_to_do(checkpoint: Path, tmp_path: Path) -> None:
    assert run("convert", "groupvit", checkpoint, tmp_path / "out") == 0
    with pytest.raises(ValueError, match=r"converted without a tokenizer.*--tokenizer"):
        ovs_jax.load(tmp_path / "out")


def test_what_cannot_be_done_is_told_and_leaves_nothing(
    checkpoint: Path, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    before = sorted(tmp_path.rglob("*"))
    out, file = tmp_path / "out", checkpoint
    for words, message in {
        ("groupvit", file, converted): "OUT: .* exists already",
        ("groupvitt", file, out): "did you mean 'groupvit'",
        ("dino", file, out): "the names are those of source groupvit or ovsegmentor",
        ("groupvit", tmp_path / "bad.safetensors", out): "not a safetensors file",
        ("groupvit", file, out, "--to=safetensors"): r"expected a name ending in \.safetensors",
        ("groupvit", file, out, "--set=encoder.heads"): "--set: got 'encoder.heads'",
        ("groupvit", file, out, "--set=encoder.heads=(3,3)"): "not a multiple of heads 3",
        ("groupvit", file, out, f"--tokenizer=wordpiece:{tmp_path / 'vocab.txt'}"): (
            "expected a clip tokenizer of at most 300 words, got wordpiece with 5"
        ),
        ("groupvit", file, out, "--tokenizer=clip:nowhere"): "vocabulary file nowhere",
        ("ours", converted, out): "--to: expected safetensors or groupvit-hf",
        ("ours", tmp_path / "none", out, "--to=groupvit-hf"): "holds no usable checkpoint",
        ("ours", converted, out, "--to=groupvit-hf", "--verify"): "belong to published weights",
    }.items():
        assert run("convert", *words) == 2, words
        text = capsys.readouterr().err
        *_, line = text.strip().splitlines()
        assert line.startswith("ovs-jax convert: ")
        assert re.search(message, text), text
        assert sorted(tmp_path.rglob("*")) == before


def test_verification_is_printed_and_decides_the_status(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for difference, status in ((1e-6, 0), (1e-3, 1)):
        rows = (Comparison("image feature", difference, 2.0),)
        monkeypatch.setattr(verify, "verify", lambda *_, rows=rows: rows)
        monkeypatch.setattr(verify, "check_installed", lambda source: None)
        out = tmp_path / str(status)
        assert run("convert", "groupvit", checkpoint, out, "--verify") == status
        assert ("FAIL" if status else "pass") in capsys.readouterr().out


def test_verification_says_what_it_takes(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(verify, "find_spec", lambda name: None)
    assert run("convert", "groupvit", checkpoint, tmp_path / "out", "--verify") == 2
    assert "pip install torch transformers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_zoo_is_listed_and_its_entries_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("zoo") == 0
    assert "dino_vitbase16" in capsys.readouterr().out
    assert run("zoo", "clip_vit_base_patch16") == 0
    assert "TorchScript" in capsys.readouterr().out
    assert run("zoo", "clip_vit_base_patch61") == 2
    assert "did you mean 'clip_vit_base_patch16'" in capsys.readouterr().err
