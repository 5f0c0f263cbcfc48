import json
import os

import numpy as np
import pytest
from PIL import Image

from ovs_jax.cli import segment


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 48)).save(path)
    return path


@pytest.fixture
def folder(tmp_path, photo):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(photo.read_bytes())
    Image.open(photo).save(folder / "b.png")
    (folder / "notes.txt").write_text("not a photo")
    return folder


def options(out):
    return ["--classes", "dog, sofa, person", "--checkpoint", "trained", "--out", out]


def test_a_photo_gives_an_overlay_a_label_image_and_a_record(command, photo, tmp_path, capsys):
    out = tmp_path / "found"
    assert command(segment, photo, *options(out), "--background", 0.4) == 0
    assert sorted(os.listdir(out)) == ["photo.json", "photo_labels.png", "photo_overlay.png"]
    record = json.loads((out / "photo.json").read_text())
    assert [c["name"] for c in record["classes"]] == ["background", "dog", "sofa", "person"]
    assert sum(c["pixels"] for c in record["classes"]) == 48 * 64
    with Image.open(out / "photo_labels.png") as labels:
        assert labels.size == (64, 48)
        assert np.array(labels).max() <= 3
    assert "photo_overlay.png" in capsys.readouterr().out


def test_a_folder_is_segmented_photo_by_photo_and_equal_names_are_told_apart(
    command, folder, tmp_path
):
    out = tmp_path / "found"
    assert command(segment, folder, *options(out)) == 0
    records = sorted(name for name in os.listdir(out) if name.endswith(".json"))
    assert records == ["a.json", "b.jpg.json", "b.png.json"]


def test_a_bad_photo_of_a_folder_is_told_and_the_others_are_done(command, folder, tmp_path, capsys):
    (folder / "c.jpg").write_bytes(b"nonsense")
    out = tmp_path / "found"
    assert command(segment, folder, *options(out)) == 1
    assert "not used: " in capsys.readouterr().out
    assert sum(name.endswith(".json") for name in os.listdir(out)) == 3
    assert not any(name.startswith((".", "c")) for name in os.listdir(out))


def test_a_bad_photo_alone_is_an_error_that_names_it_and_leaves_nothing(command, tmp_path):
    bad, out = tmp_path / "bad.jpg", tmp_path / "found"
    bad.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"bad\.jpg: not an image"):
        command(segment, bad, *options(out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--classes": " , "}, '--classes: expected names such as "dog, sofa"'),
        ({"--classes": "dog, Dog"}, "--classes: .* expected every class once"),
        ({"--background": 2}, "--background: expected a threshold of 0 to 1, got 2.0"),
        ({"--checkpoint": "nowhere"}, "checkpoint: nowhere does not exist"),
    ],
)
def test_bad_options_give_one_message_that_names_them(command, photo, tmp_path, changes, message):
    out = tmp_path / "found"
    given = dict(zip(options(out)[::2], options(out)[1::2], strict=True)) | changes
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        command(segment, photo, *(word for pair in given.items() for word in pair))
    assert not out.exists()


def test_missing_and_empty_places_are_told_before_the_model_is_loaded(command, tmp_path):
    untrained = ["--classes", "dog", "--checkpoint", "nowhere"]
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg does not exist"):
        command(segment, tmp_path / "gone.jpg", *untrained)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected photos"):
        command(segment, tmp_path / "empty", *untrained)
    with pytest.raises(ValueError, match="another folder than that of the photos"):
        command(segment, tmp_path / "empty", *untrained, "--out", tmp_path / "empty")
