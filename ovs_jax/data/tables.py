"""Tables of image files and captions: CSV, TSV, JSON and JSONL."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rows:
    """The content of a table, as yet unchecked.

    Attributes:
      pairs: image name and caption; each may be anything the file holds.
      keyed: whether the names were keys of one JSON object, which have no suffix as a rule.
    """

    pairs: list[tuple[Any, Any]]
    keyed: bool = False


def read_table(path: Path, *, image_column: str, caption_column: str) -> Rows:
    """Reads a table; the suffix of the file tells its kind.

    A caption that is a list gives one pair an entry.

    Raises:
      ValueError: the file is not text or not well-formed, or the columns are not there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"table {path}: expected UTF-8 text ({error})") from error
    wanted = [image_column, caption_column]
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return Rows(_delimited(path, text, wanted))
    if suffix == ".jsonl":
        lines = enumerate(text.split("\n"), start=1)
        return Rows(
            [
                pair
                for number, line in lines
                if line.strip()
                for pair in _pairs(f"{path}, line {number}", _parsed(path, line, number), wanted)
            ]
        )
    content = _parsed(path, text)
    if isinstance(content, list):
        entries = enumerate(content)
        return Rows([p for i, row in entries for p in _pairs(f"{path}, entry {i}", row, wanted)])
    if not isinstance(content, dict):
        raise ValueError(
            f"table {path}: expected a list of objects, or an object of image to captions, got "
            f"{type(content).__name__}"
        )
    return Rows(
        [(name, one) for name, value in content.items() for one in _each(value)], keyed=True
    )


def _pairs(place: str, row: Any, wanted: list[str]) -> list[tuple[Any, Any]]:
    """The pairs of one JSON object."""
    if not isinstance(row, dict):
        raise ValueError(f"table {place}: expected an object, got {type(row).__name__}")
    _check_columns(place, list(row), wanted)
    return [(row[wanted[0]], one) for one in _each(row[wanted[1]])]


def _check_columns(place: str, found: list[str], wanted: list[str]) -> None:
    if not set(wanted) <= set(found):
        raise ValueError(f"table {place}: expected the columns {wanted}, found {found}")


def _each(value: Any) -> list[Any]:
    """One caption or several; an empty list is one empty caption."""
    return value or [""] if isinstance(value, list) else [value]


def _delimited(path: Path, text: str, wanted: list[str]) -> list[tuple[str, str]]:
    # Quotation marks in TSV files of captions are part of the caption.
    tabs = path.suffix.lower() == ".tsv"
    style = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
    reader = csv.reader(io.StringIO(text, newline=""), **style)
    try:
        table = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"table {path}, line {reader.line_num}: {error}") from error
    names = [name.strip() for name in table[0][1]] if table else []
    _check_columns(f"{path}, line 1", names, wanted)
    image, caption = (names.index(name) for name in wanted)
    pairs: list[tuple[str, str]] = []
    for line, row in table[1:]:
        if len(row) > len(names):
            raise ValueError(
                f"table {path}, line {line}: expected {len(names)} values {names}, got {len(row)}; "
                "a caption that holds the delimiter needs quotation marks"
            )
        row = row + [""] * (len(names) - len(row))
        pairs.append((row[image], row[caption]))
    return pairs


def _parsed(path: Path, text: str, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = path if line is None else f"{path}, line {line}"
        raise ValueError(f"table {place}: not JSON ({error})") from error
