"""What the whole command says of bad input: one line, exit status 2, and nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ovs_jax.cli.main import main
from ovs_jax.training import loop

pytestmark = pytest.mark.usefixtures("quickly_compiled")
SMOKE = "groupvit/synthetic:smoke"
Refuse = Callable[..., str]


def save_untrained(
    plan: Any, step: Any, state: Any, batches: Any, *, checkpoints: Any, **_: Any
) -> loop.Outcome:
    """Takes the place of the training loop: saves the state as it is."""
    checkpoints.save(1, state, batches)
    return loop.Outcome(state, 1, finished=True)


def make_run(folder: Path, name: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", save_untrained)
        words = [f"--config={name}", f"--workdir={folder}", "--config.parallel.data=8"]
        assert main(["train", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a nano GroupViT."""
    return make_run(tmp_path_factory.mktemp("runs") / "groupvit", SMOKE)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a command that must fail with one line, and leave the folder as it was."""

    def run(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main([str(word) for word in words]) == 2
        assert sorted(tmp_path.rglob("*")) == before
        *_, line = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"ovs-jax {words[0]}: ")
        return line.removeprefix(f"ovs-jax {words[0]}: ")

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (9, 7), "red").save(tmp_path / "a.png")
    return tmp_path / "a.png"


TABLES = [
    ("t.csv", b"a.png,a dog\n", "t.csv, line 1: expected the columns ['image', 'caption']"),
    ("t.csv", b"image;caption\na.png;a dog\n", "found ['image;caption']"),
    ("t.csv", b"image,caption\na.png,caf\xe9\n", "t.csv: expected UTF-8 text"),
    ("t.tsv", b"image\tcaption\na.png\n", "dropped 1 × empty caption (first: 'a.png')"),
    ("t.jsonl", b'{"image": "a.png", "caption": 5}', "dropped 1 × caption is not text"),
    ("t.jsonl", b'{"image": "gone.png", "caption": "x"}', "dropped 1 × missing image"),
    ("t.json", b'[["a.png", "x"]]', "t.json, entry 0: expected an object, got list"),
    ("captions.json", b'{"a": {"text": "x"}}', "dropped 1 × caption is not text (first: 'a.png')"),
    ("captions.json", b'{"images": [{}], "annotations": []}', "(first: 'annotations')"),
    ("t.csv", b"\xef\xbb\xbfimage,caption\na.png,a &amp; b\n", "more than the 1 usable records"),
    ("t.xlsx", b"", "t.xlsx: expected a folder or one of ('.csv'"),
]


@pytest.mark.parametrize(("name", "content", "message"), TABLES)
def test_captions_that_cannot_be_trained_on(
    refused: Refuse, photo: Path, name: str, content: bytes, message: str
) -> None:
    source = photo.with_name(name)
    source.write_bytes(content)
    words = [f"--config={SMOKE}", f"--workdir={photo.with_name('run')}"]
    assert message in refused("train", *words, f"--config.data.source={source}")
    if "usable records" not in message:  # looking at one pair is fine
        assert message in refused("data", "entities", source)


def test_a_folder_of_photos_without_captions(refused: Refuse, photo: Path) -> None:
    words = [f"--config={SMOKE}", f"--workdir={photo.with_name('run')}"]
    message = refused("train", *words, f"--config.data.source={photo.parent}")
    assert "found none; dropped 1 × no caption file (first: 'a.png')" in message
    photo.with_suffix(".txt").write_bytes(b"caf\xe9")
    message = refused("train", *words, f"--config.data.source={photo.parent}")
    assert "dropped 1 × caption file is not UTF-8 text (first: 'a.png')" in message


def test_photos_that_are_all_unreadable_stop_the_first_step(refused: Refuse, photo: Path) -> None:
    photo.write_bytes(b"nonsense")
    table = photo.with_name("t.tsv")
    table.write_text("image\tcaption\n" + "a.png\ta dog\n" * 16)
    words = [f"--config={SMOKE}", f"--workdir={photo.with_name('deep') / 'run'}"]
    message = refused("train", *words, f"--config.data.source={table}")
    assert "32 records in a row cannot be used; the last was" in message
    assert "a.png: not an image" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config=groupvit/syntetic"], "did you mean 'groupvit/synthetic'?"),
        ([f"--config={SMOKE}", "--config.optimizer.clip=1"], "no such field; did you mean"),
        ([f"--config={SMOKE}", "--config.seed=x"], "--config.seed: got 'x', expected a int"),
        ([f"--config={SMOKE}", "--config.log_every=0"], "loop.log_every: expected 1 or more"),
        ([f"--config={SMOKE}", "--config.step.accumulate=0"], "step.accumulate: expected at least"),
        ([f"--config={SMOKE}", "--config.model.encoder.patch_size=7"], "multiple of patch_size 7"),
        ([f"--config={SMOKE}", "--config.init.checkpoint=gone"], "init.checkpoint: gone holds no"),
        (
            [f"--config={SMOKE}", "--config.evaluation.source=benchmark"],
            "evaluation.folder: expected",
        ),
    ],
)
def test_configs_that_cannot_be_run(
    refused: Refuse, tmp_path: Path, words: list[str], message: str
) -> None:
    assert message in refused("train", *words, f"--workdir={tmp_path / 'run'}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:", "cannot be run: SyntaxError"),
        ("def get_config(variant):\n    return 3\n", "to return a ConfigDict, got int"),
        ("x = 1\n", "expected a function get_config"),
    ],
)
def test_files_that_are_no_experiment(
    refused: Refuse, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    found = refused("train", f"--config={file}", f"--workdir={tmp_path / 'run'}")
    assert str(file) in found
    assert message in found


def test_runs_of_another_model(refused: Refuse, tmp_path: Path, trained: Path) -> None:
    other = "--config=ovsegmentor/stage1:smoke"
    held = sorted(trained.rglob("*"))
    message = refused("train", other, f"--workdir={trained}")
    assert f"{trained / 'checkpoints' / '1'} is of another architecture" in message
    assert sorted(trained.rglob("*")) == held
    start = f"--config.init.checkpoint={trained}"
    message = refused("train", other, start, f"--workdir={tmp_path / 'run'}")
    assert f"init.checkpoint: {trained / 'checkpoints' / '1'} cannot fill" in message
    message = refused("train", f"--config={SMOKE}", f"--workdir={trained / 'config.json'}")
    assert "workdir: expected a folder" in message


def rewrite(trained: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    shutil.copytree(trained, target)
    for file in target.rglob("metadata/metadata"):
        metadata = json.loads(file.read_text())
        change(metadata)
        file.write_text(json.dumps(metadata))
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["model"]["encoder"].update(width=64), "is of another architecture"),
        (lambda m: m["model"].update(name="segformer"), "model.name: unknown 'segformer'"),
        (lambda m: m.clear(), "holds no usable checkpoint"),
    ],
)
def test_checkpoints_that_are_none(
    refused: Refuse, photo: Path, trained: Path, change: Any, message: str
) -> None:
    checkpoint = rewrite(trained, photo.with_name("changed"), change)
    words = ["--classes", "dog", "--checkpoint", checkpoint, "--out", photo.with_name("out")]
    found = refused("segment", photo, *words)
    assert str(checkpoint) in found
    assert message in found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--classes": ""}, "--classes: expected names"),
        ({"--classes": "dog, DOG"}, "expected every class once, got ['dog'] twice"),
        ({"--classes": "background", "--background": "0.5"}, "['background'] twice"),
        ({"--background": "nan"}, "--background: expected a threshold of 0 to 1, got nan"),
        ({"--out": "a.png"}, "a.png is a file"),
        ({"--out": "a.png/deeper"}, "a.png is a file"),
        ({"--checkpoint": "a.png"}, "a.png holds no usable checkpoint"),
    ],
)
def test_options_of_segment_that_cannot_be_used(
    refused: Refuse, photo: Path, monkeypatch: pytest.MonkeyPatch, changes: Any, message: str
) -> None:
    monkeypatch.chdir(photo.parent)
    given = {"--classes": "dog", "--checkpoint": "gone", "--out": "out"} | changes
    words = [word for pair in given.items() for word in pair]
    assert message in refused("segment", photo, *words)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    lists = tmp_path / "ImageSets" / "Segmentation"
    for folder in (tmp_path / "JPEGImages", tmp_path / "SegmentationClass", lists):
        folder.mkdir(parents=True)
    Image.new("RGB", (9, 7)).save(tmp_path / "JPEGImages" / "x.jpg")
    Image.new("L", (9, 7)).save(tmp_path / "SegmentationClass" / "x.png")
    (lists / "val.txt").write_text("\ufeffx\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, ", first "),
        (Image.new("RGB", (9, 7)), "label map with colours (expected one channel"),
        (Image.new("L", (7, 9)), "expected the image's height and width (7, 9), got (9, 7)"),
        (Image.new("L", (9, 7), 77), "got [77]"),
    ],
)
@pytest.mark.parametrize("layout", ["voc", "folders"])
def test_labels_that_cannot_be_judged(
    refused: Refuse, voc: Path, trained: Path, layout: str, label: Any, message: str
) -> None:
    file, photo = voc / "SegmentationClass" / "x.png", voc / "JPEGImages" / "x.jpg"
    if label is not None:
        label.save(file)
    elif layout == "voc":
        file.unlink()
    else:
        file, _ = photo, photo.unlink()
    words = ["--data", voc]
    if layout == "folders":
        words = ["--images", photo.parent, "--labels", voc / "SegmentationClass"]
    found = refused("evaluate", "--checkpoint", trained, *words, "--out", voc / "report")
    assert message in found
    assert str(file) in found


def test_an_evaluation_that_could_not_be_written_is_not_begun(refused: Refuse, voc: Path) -> None:
    file = voc / "JPEGImages" / "x.jpg"
    found = refused("evaluate", "--checkpoint", "gone", "--data", voc, "--out", file)
    assert found == f"--out: expected a folder, got {file}; {file} is a file"
    (voc / "ImageSets/Segmentation/val.txt").write_bytes(b"caf\xe9")
    assert "val.txt: expected UTF-8 text" in refused(
        "evaluate", "--checkpoint", "gone", "--data", voc
    )
