from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.cli.main import main


@pytest.fixture
def download(tmp_path: Path) -> Path:
    for split in ("training", "validation"):
        for folder, kind in (("images", "RGB"), ("annotations", "L")):
            parent = tmp_path / "ADEChallengeData2016" / folder / split
            parent.mkdir(parents=True)
            name = "a.jpg" if kind == "RGB" else "a.png"
            Image.new(kind, (4, 3), 1).save(parent / name)
    return tmp_path / "ADEChallengeData2016"


def test_a_download_is_prepared_checked_and_not_overwritten(
    download: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "prepared"
    words = ["data", "prepare", "ade20k", "--source", str(download), "--out", str(out)]
    assert main([*words, "--split", "val", "--split", "train"]) == 0
    where, _, counts = capsys.readouterr().out.strip().partition(": ")
    assert where == f"written to {out}/ade150/1.0.0"
    assert counts == "1 records of split 'val', 1 records of split 'train'"
    assert main(words) == 2
    assert "ade150/1.0.0 exists; remove it first" in capsys.readouterr().err


def test_a_wrong_download_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "prepared"
    words = ["data", "prepare", "cityscapes", "--source", str(tmp_path), "--out", str(out)]
    assert main(words) == 2
    message = "folder leftImg8bit/val does not exist; found an empty folder"
    told = f"ovs-jax data: cityscapes data {tmp_path}: {message}"
    assert capsys.readouterr().err.splitlines() == [told]
    assert not out.exists()
