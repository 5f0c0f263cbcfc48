import json
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ovs_jax.data.caption_rows import RowFile

CAPTIONS = ["a dog", "", 'two "cats", ä', "the\u2028sea"]


def _write(folder: Path, kind: str) -> RowFile:
    path = folder / f"rows{kind}"
    if kind == ".parquet":
        pq.write_table(pa.table({"url": ["u"] * 4, "caption": CAPTIONS}), path)
        return RowFile(path)
    lines = {
        ".txt": CAPTIONS,
        ".tsv": ["url\tcaption", *(f"u\t{caption}" for caption in CAPTIONS)],
        ".csv": ["url,caption", "u,a dog", "u", 'u,"two ""cats"", ä"', "u,the\u2028sea"],
        ".jsonl": [json.dumps({"caption": caption, "n": 1}) for caption in CAPTIONS],
    }[kind]
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return RowFile(path)


def _captions(rows: RowFile, size: int = 3) -> list[str]:
    return [caption for block in rows.blocks(size) for caption in block.captions]


@pytest.mark.parametrize("kind", [".txt", ".tsv", ".csv", ".jsonl", ".parquet"])
def test_every_kind_gives_its_captions_and_writes_its_rows_again(tmp_path: Path, kind: str) -> None:
    rows = _write(tmp_path, kind)
    assert _captions(rows) == CAPTIONS
    with ExitStack() as stack:
        writer = rows.writing(tmp_path / f"kept{kind}", stack)
        for block in rows.blocks(2):
            writer.write(block, [0])
    kept = RowFile(tmp_path / f"kept{kind}")
    assert _captions(kept) == [CAPTIONS[0], CAPTIONS[2]]
    assert kept.columns() == rows.columns()
    if kind in (".tsv", ".jsonl"):
        before = rows.path.read_text().splitlines(keepends=True)
        assert set(kept.path.read_text().splitlines(keepends=True)) <= set(before)


def test_a_file_without_names_is_read_by_the_number_of_its_column(tmp_path: Path) -> None:
    (tmp_path / "cc.tsv").write_text("http://a\ta dog\r\nhttp://b\tthe sea\nhttp://c\n")
    rows = RowFile(tmp_path / "cc.tsv", "2")
    assert _captions(rows) == ["a dog", "the sea", ""]
    assert rows.columns() == []
    (tmp_path / "cc.csv").write_text('"a dog, a cat",u\n\nb\n')
    assert _captions(RowFile(tmp_path / "cc.csv", "1")) == ["a dog, a cat", "b"]


def test_what_is_no_caption_stands_as_an_empty_one(tmp_path: Path) -> None:
    lines = [b'{"caption": 5}', b"[1]", b"{", b'{"caption": "caf\xe9"}', b'{"caption": " dog "}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([lines[-1], *lines]))
    assert _captions(RowFile(tmp_path / "a.jsonl")) == ["dog", "", "", "", "", "dog"]
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\nolive\n")
    assert _captions(RowFile(tmp_path / "a.txt")) == ["", "olive"]


def test_a_lone_carriage_return_ends_no_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\rb\nc\r\n")
    assert _captions(RowFile(tmp_path / "a.txt")) == ["a\rb", "c"]


@pytest.mark.parametrize("kind", [".tsv", ".csv", ".jsonl", ".parquet"])
def test_a_missing_column_is_an_error_that_lists_those_there_are(tmp_path: Path, kind: str) -> None:
    rows = RowFile(_write(tmp_path, kind).path, "text")
    with pytest.raises(ValueError, match=r"expected a column 'text', found \[.*caption"):
        _captions(rows)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        RowFile(tmp_path / "none.txt")
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(ValueError, match=r"expected one of \('\.txt'"):
        RowFile(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"not Parquet")
    with pytest.raises(ValueError, match="not Parquet"):
        _captions(RowFile(tmp_path / "a.parquet"))
