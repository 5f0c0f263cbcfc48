import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from ovs_jax.cli.data import filter_entities, index_entities
from ovs_jax.data.index_files import open_index
from ovs_jax.data.sources import open_image_text
from ovs_jax.text.entities import CorrectedRule


def _run(module, *words: object) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([*map(str, words), "--workers", "1"]))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A table of three photos and a missing one."""
    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    table = tmp_path / "photos.tsv"
    rows = ["a.png\ta dog", "b.png\tthe sea", "gone.png\ta cat", "c.png\ttwo dogs, a man"]
    table.write_text("image\tcaption\n" + "\n".join(rows) + "\n")
    return table


def test_a_table_is_filtered_without_its_images(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, counts = photos.with_name("kept.tsv"), photos.with_name("counts.json")
    assert _run(filter_entities, photos, kept, "--report", counts) == 0
    assert kept.read_text().splitlines() == [
        "image\tcaption", "a.png\ta dog", "gone.png\ta cat", "c.png\ttwo dogs, a man",
    ]  # fmt: skip
    assert "4 captions, 3 kept (75.0%)\n           1 left out: no entity" in capsys.readouterr().out
    assert json.loads(counts.read_text()) == {
        "read": 4,
        "kept": 3,
        "dropped": {"no entity": 1},
        "entities": {"dog": 1, "cat": 1, "man": 1},
    }


def test_own_words_and_rule_come_from_a_file(photos: Path) -> None:
    words = photos.with_name("own.json")
    words.write_text(json.dumps({"filter_words": ["dog"], "rule": "corrected"}))
    kept = photos.with_name("kept.tsv")
    _run(filter_entities, photos, kept, "--entities", words)
    assert [line.split("\t")[0] for line in kept.read_text().splitlines()[1:]] == ["a.png", "c.png"]
    _run(filter_entities, photos, kept, "--entities", words, "--rule", "original")
    assert [line.split("\t")[0] for line in kept.read_text().splitlines()[1:]] == ["a.png"]


def test_images_with_captions_become_shards_of_those_with_entities(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos.with_name("cc4m")
    photos.write_text(photos.read_text().replace("gone.png", "a.png"))
    assert _run(filter_entities, photos, folder) == 0
    assert list(open_image_text(folder).captions()) == ["a dog", "a cat", "two dogs, a man"]
    told = capsys.readouterr().out
    assert "4 captions, 3 kept (75.0%)" in told
    assert "1 left out: filter: no entity" in told
    assert "1 dog" in told


def test_an_index_fits_the_source_that_it_was_made_from(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos.with_name("index")
    assert _run(index_entities, photos, folder) == 0
    assert "2 captions have entities, 0 of them share none" in capsys.readouterr().out
    source = open_image_text(photos)  # without the row whose image is missing
    index = open_index(folder, captions=source.captions(), rule=CorrectedRule())
    assert index.kept.tolist() == [0, 2]
    assert index.names == ("dog", "people")
    everything = photos.with_name("all")
    _run(index_entities, photos, everything, "--captions-only")
    with pytest.raises(ValueError, match="made from 4 other captions than the 3"):
        open_index(everything, captions=source.captions(), rule=CorrectedRule())


def test_captions_alone_are_indexed_from_any_file_of_rows(photos: Path) -> None:
    captions = photos.with_name("cc.tsv")
    captions.write_text("http://a\ta dog\nhttp://b\tthe sea\nhttp://c\tdogs\n")
    folder = photos.with_name("index")
    _run(index_entities, captions, folder, "--caption-column", "2")
    index = open_index(folder, captions=["a dog", "the sea", "dogs"], rule=CorrectedRule())
    assert index.places_of("dog").tolist() == [0, 1]


def test_a_list_with_duplicates_or_a_used_folder_is_an_error(photos: Path) -> None:
    words = photos.with_name("own.json")
    words.write_text(json.dumps({"filter_words": ["dog", "dog"]}))
    with pytest.raises(ValueError, match=r"own\.json: .* stand there twice: \['dog'\]"):
        _run(filter_entities, photos, photos.with_name("kept.tsv"), "--entities", words)
    with pytest.raises(FileExistsError, match="exists already"):
        _run(index_entities, photos, photos.parent)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        _run(filter_entities, photos.with_name("none.tsv"), photos.with_name("kept.tsv"))
