"""Vocabulary files as published tokenizers store them."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CLIP_FILE = "bpe_simple_vocab_16e6.txt.gz"
_CLIP_SIZE = 49152


@dataclass(frozen=True)
class Merges:
    """A byte-pair vocabulary.

    Attributes:
      vocabulary: token to id.
      pairs: merges, the first one first.
      file: where it was read, for messages.
    """

    vocabulary: dict[str, int]
    pairs: list[tuple[str, str]]
    file: str


def existing(path: str | Path, *names: str) -> Path:
    """The file itself, or the first of ``names`` that a folder has.

    Raises:
      FileNotFoundError: there is no such file.
    """
    path = Path(path)
    candidates = [path / name for name in names] if path.is_dir() else [path]
    for file in candidates:
        if file.is_file():
            return file
    wanted = " or ".join(str(file) for file in candidates)
    raise FileNotFoundError(f"vocabulary file {wanted} does not exist")


def read_text(file: Path) -> str:
    """The text of a file, unpacked if its name ends in ``.gz``.

    Raises:
      ValueError: it is not UTF-8 text (or not gzip).
    """
    try:
        data = file.read_bytes()
        return (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8")
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"vocabulary file {file} is not readable text: {error}") from error


def numbered(lines: Sequence[str], file: str) -> dict[str, int]:
    """Line numbers as ids.

    Raises:
      ValueError: an entry stands twice.
    """
    entries = [line.rstrip("\r\n") for line in lines]
    while entries and not entries[-1]:
        entries.pop()
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    if len(vocabulary) != len(entries):
        twice = sorted({entry for entry in entries if entries.count(entry) > 1})[:5]
        raise ValueError(f"vocabulary file {file}: expected every entry once, got {twice} again")
    return vocabulary


def ids_of(names: Sequence[str], vocabulary: dict[str, int], file: str) -> list[int]:
    """The ids of tokens that must be there.

    Raises:
      ValueError: some are not; names them and the file.
    """
    missing = [name for name in names if name not in vocabulary]
    if missing:
        raise ValueError(
            f"vocabulary file {file}: expected the tokens {list(names)}, misses {missing}"
        )
    return [vocabulary[name] for name in names]


def read_json_merges(folder: Path) -> Merges:
    """Reads ``vocab.json`` and ``merges.txt`` of a folder (or of the folder that one of them is
    in).

    Raises:
      FileNotFoundError: one of the two is missing.
      ValueError: one of the two is not what it should be.
    """
    if folder.suffix in (".json", ".txt"):
        folder = folder.parent
    file = existing(folder / "vocab.json")
    try:
        vocabulary = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"vocabulary file {file} is not JSON: {error}") from error
    if not isinstance(vocabulary, dict) or not all(
        isinstance(index, int) for index in vocabulary.values()
    ):
        raise ValueError(f"vocabulary file {file}: expected an object of token to id")
    merges = existing(folder / "merges.txt")
    return Merges(vocabulary, _pairs(read_text(merges).split("\n"), merges), str(file))


def read_clip(path: Path) -> Merges:
    """Reads CLIP's vocabulary: its merges file, or a folder with that or with ``vocab.json`` and
    ``merges.txt``.

    In the merges file the ids are implied: 256 bytes, the same at the end of a word, one a merge,
    start and end.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is not what it should be.
    """
    plain = CLIP_FILE.removesuffix(".gz")
    if path.suffix == ".json" or (
        path.is_dir() and not any((path / name).is_file() for name in (CLIP_FILE, plain))
    ):
        return read_json_merges(path)
    file = existing(path, CLIP_FILE, plain)
    # The first line is a title, and the published file is longer than the vocabulary that was
    # trained.
    lines = read_text(file).split("\n")[1 : _CLIP_SIZE - 256 - 2 + 1]
    pairs = _pairs(lines, file)
    letters = byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += [first + second for first, second in pairs]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return Merges({token: index for index, token in enumerate(tokens)}, pairs, str(file))


def byte_letters() -> list[str]:
    """The 256 characters that stand for bytes in byte-level vocabularies, in the order of their
    ids.

    Printable bytes stand for themselves and come first; the others are moved up from U+0100 on.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), 256),
    ]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def _pairs(lines: Sequence[str], file: Path) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        parts = line.rstrip("\r").split(" ")
        if (number == 1 and line.startswith("#version")) or parts == [""]:
            continue  # a title, or the end of the file
        if len(parts) != 2:
            raise ValueError(
                f"vocabulary file {file}, line {number}: expected two parts, got '{line}'"
            )
        pairs.append((parts[0], parts[1]))
    return pairs
