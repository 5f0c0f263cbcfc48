import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.cli.data.entities import add_arguments, entity_report, run


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def test_the_report_gives_the_shares_of_both_rules() -> None:
    report = entity_report(["a dog, a cat", "a bus", "the sea", "two dogs"], examples=1)
    assert "| corrected | 75.0% | 40.0% | 75.0% |" in report
    assert "| original | 50.0% | 20.0% | 50.0% |" in report
    assert report.endswith(
        "caption: a dog, a cat\ncorrected: a [MASK], a [MASK]\noriginal: a dog, a [MASK]"
    )


def test_the_command_reads_a_table_with_own_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "t.tsv").write_text("file\ttext\na.png\ttwo buses\n")
    columns = ("--image-column", "file", "--caption-column", "text")
    assert _run(str(tmp_path / "t.tsv"), *columns) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 captions")
    assert "corrected: two [MASK]\noriginal: two buse" in printed


def test_missing_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"image-text data .* does not exist"):
        _run(str(tmp_path / "none.csv"))


def test_real_captions_are_masked_more_by_the_corrected_rule(shared_data: Path) -> None:
    file = shared_data / "photos_captions" / "captions.json"
    captions = [text for texts in json.loads(file.read_text()).values() for text in texts]
    report = entity_report(captions)
    assert "545 captions" in report
    shares = [
        float(line.split("|")[2].strip().rstrip("%"))
        for line in report.splitlines()
        if line.startswith(("| corrected", "| original"))
    ]
    assert shares[0] > shares[1] > 50
