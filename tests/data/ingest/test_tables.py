from pathlib import Path

import pytest

from ovs_jax.data.ingest.entries import NOT_DOWNLOADED, Entry
from ovs_jax.data.ingest.tables import Locations, format_name, open_rows

PATTERN = "{shard:05d}/{key}.jpg"


def entries(path: Path, rows: int = 2, pattern: str = PATTERN) -> list[Entry]:
    """All entries, part by part, and the parts in a wrong order."""
    locations = Locations(path.parent, "image", pattern)
    reader = open_rows(path, caption_column="caption", locations=locations, rows_a_part=rows)
    parts = reader.parts()
    assert all((part.entries or 0) <= rows for part in parts)
    found = {part.index: list(reader.read(part)) for part in reversed(parts)}
    assert [len(found[part.index]) for part in parts] == [part.entries for part in parts]
    return [entry for part in parts for entry in found[part.index]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_parts_begin_between_rows_whatever_is_quoted(folder: Path, rows: int) -> None:
    text = (
        '\ufeffid,image,caption\r\n1,a.jpg,"two\nlines, ""quoted"""\r\n\r\n'
        '2,b.jpg,"é\u2028"\n3,a.jpg\n4,a.jpg,x,y\n5,b.jpg,end'
    )
    (folder / "t.csv").write_bytes(text.encode())
    found = entries(folder / "t.csv", rows)
    assert [(e.key, e.captions, e.fault) for e in found] == [
        ("a.jpg", ('two\nlines, "quoted"',), None),
        ("b.jpg", ("é\u2028",), None),
        ("a.jpg", ("",), None),
        ("t.csv:3", (None,), "row has too many values"),
        ("b.jpg", ("end",), None),
    ]
    assert found[1].image == b"b.jpg"


def test_a_row_that_is_not_csv_or_not_utf8_is_a_fault_of_its_own(folder: Path) -> None:
    lines = [b"image,caption", b"a.jpg,caf\xe9", b"a.jpg," + b"x" * 200_000, b"b.jpg,fine"]
    (folder / "t.csv").write_bytes(b"\n".join(lines))
    first, second, third = entries(folder / "t.csv")
    assert first.captions == ("caf\udce9",)  # no record can hold that
    assert second.fault == "row is not CSV"
    assert (third.key, third.captions) == ("b.jpg", ("fine",))


@pytest.mark.parametrize("order", [0, 1])
def test_lists_of_captions_and_addresses_find_the_files_by_row(folder: Path, order: int) -> None:
    (folder / "00000").mkdir()
    (folder / "00000" / "000000001.jpg").write_bytes(b"one")
    rows = [(f'caption "{i}', f"https://x.org/{i}.jpg") for i in range(3)]
    lines = ["\t".join(row[::-1] if order else row) for row in rows]
    (folder / "cc.tsv").write_text("\n".join(lines))
    found = entries(folder / "cc.tsv")
    assert [entry.fault for entry in found] == [NOT_DOWNLOADED, None, NOT_DOWNLOADED]
    assert (found[1].image, found[1].captions) == (b"one", ('caption "1',))
    (folder / "2.jpg").write_bytes(b"two")
    assert entries(folder / "cc.tsv", pattern="{url_name}")[2].image == b"two"


def test_names_are_made_as_img2dataset_does() -> None:
    names = {"number": 12345, "key": "000012345", "address": "http://x.org/a/b.png?w=1#c"}
    assert format_name(PATTERN, **names) == "00001/000012345.jpg"
    assert format_name("{row}-{shard}-{sample}-{url_name}", **names) == "12345-1-2345-b.png"
    for wrong in ("{name}", "{}", "{row:x", "{row.real.y}"):
        with pytest.raises(ValueError, match=r"name_pattern .* expected the fields \['row', 'sh"):
            format_name(wrong, **names)


def test_a_key_column_tells_the_file(folder: Path) -> None:
    (folder / "00012").mkdir()
    (folder / "00012" / "000120007.jpg").write_bytes(b"one")
    (folder / "t.csv").write_text("key,url,caption\n000120007,http://x.org/y,fine\n")
    (entry,) = entries(folder / "t.csv")
    assert (entry.key, entry.image) == ("00012/000120007.jpg", b"one")


@pytest.mark.parametrize("text", ["", "a.jpg,a dog\n", "image;caption\n", "image,text\n"])
def test_columns_that_are_missing_are_named(folder: Path, text: str) -> None:
    (folder / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=r"\['image' or 'url', 'caption'\], found \["):
        entries(folder / "t.csv")
