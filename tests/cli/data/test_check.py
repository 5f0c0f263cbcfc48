from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.cli.main import main


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    for folder, kind, file in (
        ("val2017", "RGB", "1.jpg"),
        ("stuffthingmaps/val2017", "L", "1.png"),
    ):
        (tmp_path / "coco" / folder).mkdir(parents=True)
        Image.new(kind, (4, 3), 2).save(tmp_path / "coco" / folder / file)
    return tmp_path / "coco"


def test_a_benchmark_is_known_by_its_layout(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(coco)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("taken as coco_object; --as coco_stuff reads it otherwise\n")
    assert "labels of coco_object81: 1 records, 0 faulty" in printed
    assert main(["data", "check", str(coco), "--as", "coco_stuff171"]) == 0
    assert "| car | 1 | 100.000% |" in capsys.readouterr().out


def test_faults_give_exit_status_1(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (3, 4)).save(coco / "stuffthingmaps/val2017/1.png")
    assert main(["data", "check", str(coco), "--as", "coco_stuff"]) == 1
    printed = capsys.readouterr().out
    assert "1 × label map of another size:" in printed
    assert "1.png: label map of another size (expected the 3 x 4 of" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{coco}/val2017"], "expected the layout of a benchmark"),
        (["{coco}/gone"], "gone does not exist"),
        (["{coco}", "--all"], "--all: belongs to ingested data"),
        (["{coco}", "--as", "cocoo"], "unknown 'cocoo', expected one of"),
        (["{coco}", "--as", "coco_stuff", "--split", "test"], "split 'test' is unknown"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    coco: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["data", "check", *(word.format(coco=coco) for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
