"""What an ingested folder holds: the file ``manifest.json``, which is written last."""

import json
import typing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ovs_jax.data.durable import write_whole

MANIFEST = "manifest.json"
PROGRESS = ".progress"
"""The folder within an ingested folder that is there as long as it is not complete."""
VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One file of records, and the file of their captions beside it.

    Attributes:
      file: the ArrayRecord file, a plain name.
      records: how many records are in it.
      bytes: its size.
      sha256: its checksum.
      captions: the Parquet file of keys and captions, a plain name.
      captions_sha256: its checksum.
    """

    file: str
    records: int
    bytes: int
    sha256: str
    captions: str
    captions_sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of an ingested folder. The same source and options always give the same.

    Attributes:
      version: of this format.
      source: what was ingested, as it was given.
      options: those that decide what the records are.
      read: how many pairs of image and caption the source has.
      kept: how many of them are in the shards.
      dropped: how many are not, by reason; ``read`` is ``kept`` and these.
      bytes: the size of all shards.
      shards: the files, in the order of the records.
    """

    version: int
    source: str
    options: dict[str, Any]
    read: int
    kept: int
    dropped: dict[str, int]
    bytes: int
    shards: tuple[Shard, ...] = field(repr=False)


def is_ingested(folder: str | Path) -> bool:
    """Whether a folder is what an ingest made, or has begun to make."""
    folder = Path(folder)
    return (folder / MANIFEST).is_file() or (folder / PROGRESS).is_dir()


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of an ingested folder.

    Raises:
      FileNotFoundError: the folder has none; the message tells whether an ingest was interrupted.
      ValueError: it is not as expected.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / PROGRESS).is_dir():
            raise FileNotFoundError(
                f"{folder}: the ingest into it is not finished; run the same "
                "'ovs-jax data ingest' again with --resume"
            )
        raise FileNotFoundError(f"{folder}: expected an ingested folder, {MANIFEST} is missing")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"manifest {path}: not JSON ({error})") from error
    checked = _checked(path, "manifest", Manifest, content)
    if checked["version"] != VERSION:
        raise ValueError(f"manifest {path}: expected version {VERSION}, got {checked['version']}")
    shards = tuple(
        Shard(**_checked(path, f"shards[{index}]", Shard, shard))
        for index, shard in enumerate(checked["shards"])
    )
    for shard in shards:
        for name in (shard.file, shard.captions):
            if Path(name).name != name:
                raise ValueError(f"manifest {path}: expected plain file names, got {name!r}")
    checked["shards"] = shards
    manifest = Manifest(**checked)
    if manifest.kept != sum(shard.records for shard in shards):
        raise ValueError(
            f"manifest {path}: kept is {manifest.kept}, but its shards have "
            f"{sum(shard.records for shard in shards)} records"
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, which makes the folder complete.

    Raises:
      OSError: it cannot be written; the folder is then as incomplete as before.
    """
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n"
    write_whole(folder / MANIFEST, text.encode("utf-8"))


def _checked(path: Path, where: str, kind: type, content: Any) -> dict[str, Any]:
    """The fields of a dataclass from JSON, each of its type."""
    if not isinstance(content, dict):
        raise ValueError(
            f"manifest {path}: {where}: expected an object, got {type(content).__name__}"
        )
    for item in fields(kind):
        origin: Any = typing.get_origin(item.type) or item.type
        expected = list if origin is tuple else origin
        if item.name not in content or type(content[item.name]) is not expected:
            raise ValueError(
                f"manifest {path}: {where}.{item.name}: expected {expected.__name__}, got "
                f"{content[item.name]!r:.80}"
                if item.name in content
                else f"manifest {path}: {where}: expected the field {item.name}"
            )
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in content.items() if name in names}
