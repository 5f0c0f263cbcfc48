import os
import stat

import pytest

from ovs_jax.evaluation import files
from ovs_jax.evaluation.files import check_output_folder, write_together


def test_all_files_are_written_with_ordinary_rights(tmp_path):
    write_together({tmp_path / "new/a": b"1", tmp_path / "b": b"2"})
    assert (tmp_path / "new/a").read_bytes() == b"1"
    assert sorted(os.listdir(tmp_path)) == ["b", "new"]
    (tmp_path / "plain").write_bytes(b"")
    mode = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == mode


def test_an_error_on_the_way_leaves_nothing_behind(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(TypeError):
        write_together({tmp_path / "a": b"new", tmp_path / "deep/er/b": "not bytes"})
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_folder_that_is_a_file_is_an_error_that_changes_nothing(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(OSError, match="x"):
        write_together({tmp_path / "a": b"1", tmp_path / "x/b": b"2"})
    assert os.listdir(tmp_path) == ["x"]


def test_places_that_cannot_be_written_to_are_told_beforehand(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"")
    check_output_folder(tmp_path / "new" / "er", field="--out")
    for folder in (tmp_path / "x", tmp_path / "x" / "y"):
        with pytest.raises(ValueError, match=r"--out: expected a folder, got .*x is a file"):
            check_output_folder(folder, field="--out")
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ValueError, match=r"--out: .* is read-only"):
        check_output_folder(tmp_path / "new", field="--out")
    assert os.listdir(tmp_path) == ["x"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "chmod", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / "a": b"1"})
    assert os.listdir(tmp_path) == []
