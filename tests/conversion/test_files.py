"""Weight files: what is read, and what is refused."""

import json
import pickle
import sys
import zipfile

import numpy as np
import pytest

from ovs_jax.conversion import files
from tests.conversion.conftest import write


def test_a_file_is_described_by_its_size_and_checksum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.describe(tmp_path / "a") == files.File("a", 3, known)


def test_shapes_are_there_before_any_array_is_read(tmp_path):
    arrays = {"a": np.ones((2, 3), np.float32), "b": np.asarray(7)}
    stored = files.read(write(tmp_path / "a.safetensors", arrays))
    assert stored.state.shapes == {"a": (2, 3), "b": ()}
    assert len(stored.state) == 2
    np.testing.assert_array_equal(stored.state["a"], arrays["a"])
    assert stored.settings is None


def test_a_folder_of_several_files_is_read_by_its_index(tmp_path):
    write(tmp_path / "one.safetensors", {"a": np.zeros(1, np.float32)})
    write(tmp_path / "two.safetensors", {"b": np.ones(1, np.float32)})
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text("{}")
    stored = files.read(tmp_path)
    assert set(stored.state) == {"a", "b"}
    assert [file.name for file in stored.files] == [
        "one.safetensors",
        "two.safetensors",
        "config.json",
    ]


def test_what_is_written_has_the_rights_of_other_files(tmp_path):
    (tmp_path / "plain").touch()
    files.write_safetensors(tmp_path / "a.safetensors", {"a": np.ones(1)})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"not one", "not a safetensors file"),
        ("a.npz", b"", r"expected a name ending in \.safetensors"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: {message}"):
        files.read(tmp_path / name)


def test_a_path_without_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: expected a weight file or folder"):
        files.read(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"expected one of .*model\.safetensors"):
        files.read(tmp_path)


def test_settings_that_are_no_object_are_told(tmp_path):
    write(tmp_path / "model.safetensors", {"a": np.ones(1, np.float32)})
    for text in ("[]", "{"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json: expected"):
            files.read(tmp_path)


def test_a_file_of_torchs_takes_torch_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(pickle.dumps({}))
    with pytest.raises(ImportError, match=r"a\.pth: reading it takes torch: pip install"):
        files.read(tmp_path / "a.pth")


def test_a_torchscript_archive_is_refused_with_a_way_to_export_it(tmp_path, monkeypatch):
    class Torch:
        """Stands for torch, which must not be asked to read the file."""

    monkeypatch.setitem(sys.modules, "torch", Torch)
    with zipfile.ZipFile(tmp_path / "clip.pt", "w") as archive:
        archive.writestr("clip/constants.pkl", b"")
    with pytest.raises(ValueError, match=r"TorchScript archive.*torch\.jit\.load.*save_file"):
        files.read(tmp_path / "clip.pt")
