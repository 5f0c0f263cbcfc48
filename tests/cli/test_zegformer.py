"""A ZegFormer, trained or converted, under the commands that every model has."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from weights.random_models import SMALL, draw, original_state

import ovs_jax
from configs.zegformer import recipe
from ovs_jax.cli.main import main
from ovs_jax.data.label_transforms import LabelRecipe
from ovs_jax.data.synthetic.attributes import ATTRIBUTES
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.mapping import from_mapping
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.training import checkpoint
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.start import InitConfig, transfer
from tests.conversion.conftest import clip_vocabulary, read, write

__all__ = ["clip_vocabulary"]
CONFIG: Any = SMALL["zegformer"]
CLIP: Any = SMALL["clip"]
CLIP = replace(
    CLIP,
    image=replace(CLIP.image, depth=1),
    text=replace(CLIP.text, length=77, depth=1),
    embedding=CONFIG.embedding,
)


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights as their publishers would offer them; ZegFormer's of 15 seen classes."""
    folder = tmp_path_factory.mktemp("published")
    for name, config in (("clip", CLIP), ("zegformer", CONFIG), ("resnet", CONFIG.backbone)):
        write(folder / f"{name}.safetensors", original_state(name, config))
    return folder


@pytest.fixture(scope="module")
def clip(published: Path, clip_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "clip"
    tokenizer = f"--tokenizer=clip:{clip_vocabulary}"
    assert run("convert", "clip", published / "clip.safetensors", out, tokenizer) == 0
    return out


@pytest.fixture(scope="module")
def converted(published: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "zegformer"
    assert (
        run("convert", "zegformer", published / "zegformer.safetensors", out, "--clip", clip) == 0
    )
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run on the synthetic world leaves, with random weights."""
    folder = tmp_path_factory.mktemp("run")
    config = registry.model_config("zegformer", "nano", overrides={"embedding": len(ATTRIBUTES)})
    world = WorldConfig(size=32, colours=("red", "blue", "purple"))
    data = LabelledDataConfig(world=world, recipe=LabelRecipe(size=32, short_sides=(32,)))
    description = {
        "config": {"data": asdict(data)},
        "model": registry.to_dict(config),
        "tokenizer": {},
        "versions": {},
    }
    checkpoint.write_model(folder, draw(config), description=description)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 48)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_conversion_knows_its_classes_and_goes_back_bit_for_bit(
    converted: Path, published: Path, clip: Path, tmp_path: Path
) -> None:
    loaded = checkpoint.load_model(converted)
    assert loaded.model_config == CONFIG
    data = from_mapping(LabelledDataConfig, loaded.config["data"])
    assert (data.kind, data.classes, data.prompts) == ("labelled", "pascal_voc", "scene")
    assert (data.text, data.recipe.size) == (str(clip), 512)
    assert run("convert", "ours", converted, tmp_path / "a.safetensors", "--to", "safetensors") == 0
    before, after = read(published / "zegformer.safetensors"), read(tmp_path / "a.safetensors")
    assert before.keys() == after.keys()
    assert all(array.tobytes() == after[name].tobytes() for name, array in before.items())


def test_a_converted_model_segments_a_photo_with_any_words(
    converted: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--classes", "dog, cow, submarine", "--checkpoint", converted, "--look", "pool"]
    assert run("segment", photo, *options, "--out", tmp_path / "out") == 0
    summary = json.loads((tmp_path / "out" / "photo.json").read_text())
    assert (summary["height"], summary["width"]) == (48, 64)
    assert sum(entry["pixels"] for entry in summary["classes"]) == 48 * 64


def test_it_is_scored_under_the_published_protocol_and_others(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for folder, pixels in (
        ("images", rng.integers(0, 256, (30, 40, 3), np.uint8)),
        ("labels", rng.choice([0, 4, 19, 255], size=(30, 40)).astype(np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    data = ["--images", tmp_path / "images", "--labels", tmp_path / "labels"]
    words = ["evaluate", "--checkpoint", converted, "--preset", "zegformer", *data]
    words += ["--dataset", "pascal_voc", "--look", "pool", "--unseen-exponent", 0.8]
    out = tmp_path / "out"
    assert run(*words, "--sweep-calibration", "0:0.1:0.1", "--out", out, "--scenes", 1) == 0
    shown = capsys.readouterr().out
    assert "## zegformer / voc20 (look pool, unseen exponent 0.8)" in shown
    assert "segment^0.2 image^0.8 (unseen)" in shown
    assert sorted(file.name for file in out.iterdir()) == [
        "report.csv", "report.json", "report.md", "scenes.png",
    ]  # fmt: skip
    stored = json.loads((out / "report.json").read_text())
    assert [row["gamma"] for row in stored["calibration_sweep"]] == [0.0, 0.1]
    assert stored["seen_iou"] is None
    assert stored["seen_iou_of_present"] is not None
    assert sum(row["group"] == "unseen" for row in stored["per_class"]) == 5


def test_a_run_on_the_synthetic_world_is_scored_and_segments(
    trained: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--checkpoint", trained, "--preset", "synthetic", "--size", 32]
    assert run(*words, "--limit", 2) == 0
    shown = capsys.readouterr().out
    assert "| protocol | synthetic/synthetic |" in shown
    assert "| blue umbrella | unseen |" in shown
    Image.open(photo).resize((40, 40)).save(photo)  # of a size whose program there is
    options = ["--checkpoint", trained, "--out", tmp_path / "out"]
    assert run("segment", photo, "--classes", "red umbrella, fish", *options) == 0
    assert run("segment", photo, "--classes", "fish, submarine", *options) == 2
    assert "only words of the synthetic world are known" in capsys.readouterr().err


ANY = ["--preset", "synthetic", "--limit", "1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*ANY, "--fusion", "image"], "asks CLIP what is in a mask, and there is none"),
        ([*ANY, "--dataset", "objects", "--background", "0.5"], "has a background"),
        ([*ANY, "--refine", "pamr"], "--refine: belongs to groups"),
        ([*ANY, "--dataset", "all", "--refine", "pamr"], "refinement: belongs to groups"),
        ([*ANY, "--clip", "nowhere"], "nowhere holds no usable checkpoint"),
        ([*ANY, "--gamma", "-1"], "gamma: expected a number of at least 0"),
        (["--task", "retrieval", "--preset", "synthetic"], "this one finds masks"),
    ],
)
def test_what_a_model_of_masks_cannot_do_is_told_in_one_line(
    trained: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "--checkpoint", trained, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_clip_that_has_gone_is_asked_for(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checkpoint.load_model(converted)
    data = found.config["data"] | {"text": str(tmp_path / "gone")}
    moved = replace(found, config={"data": data})
    monkeypatch.setattr("ovs_jax.api.load_model", lambda path: moved)
    with pytest.raises(FileNotFoundError, match=r"--clip names another folder.*gone holds no"):
        ovs_jax.load(converted)
    assert isinstance(ovs_jax.load(converted, clip=found.config["data"]["text"]), Segmenter)


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        ("zegformer", [], "--clip: expected the folder of the converted CLIP"),
        ("zegformer", ["--clip", "nowhere"], "nowhere holds no usable checkpoint"),
        ("zegformer", ["--verify"], "no library is known to compare zegformer with"),
        ("resnet", ["--classes", "coco_stuff"], "--classes: belongs to zegformer"),
    ],
)
def test_what_a_conversion_lacks_is_told(
    published: Path,
    tmp_path: Path,
    source: str,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = published / f"{source}.safetensors"
    assert run("convert", source, file, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_classes_of_another_number_are_named_by_the_user(
    published: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = read(published / "zegformer.safetensors")
    state["criterion.empty_weight"] = np.ones(4, np.float32)
    file = write(tmp_path / "three.safetensors", state)
    assert run("convert", "zegformer", file, tmp_path / "out", "--clip", clip) == 2
    assert "the checkpoint says 3 how many" not in (error := capsys.readouterr().err)
    assert "trained with 3" in error
    classes = {"classes": ["dog, hound", "cat", "sheep", "cow"], "unseen": ["cow"]}
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    words = ["--clip", clip, "--classes", tmp_path / "classes.json"]
    assert run("convert", "zegformer", file, tmp_path / "out", *words) == 0
    defaults = ovs_jax.load(tmp_path / "out").defaults
    assert defaults.split.seen_names == ("dog, hound", "cat", "sheep")


def test_a_converted_resnet_fills_the_backbone_of_a_published_run(
    published: Path, tmp_path: Path
) -> None:
    assert run("convert", "resnet", published / "resnet.safetensors", tmp_path / "resnet") == 0
    stored = checkpoint.read(tmp_path / "resnet")
    init = recipe.published(None).init
    rules = InitConfig(rename=tuple(map(tuple, init.rename)), fresh=tuple(init.fresh))
    _, params, stats = registry.shapes(CONFIG)
    taken = transfer({"params": params, "stats": stats}, stored.weights, rules, source="resnet")
    assert taken.unused == ()
    assert not any(path.startswith("backbone/") for path in taken.fresh)
    filled = taken.weights["stats"]["backbone"]
    jax.tree.map(np.testing.assert_array_equal, filled, stored.weights["stats"])
    assert len(functional.paths(taken.weights["params"])) == len(
        functional.paths(stored.weights["params"])
    )
