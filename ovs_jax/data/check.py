"""Whether an ingested folder still holds what its manifest says."""

from dataclasses import dataclass
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordReader
from tqdm import tqdm

from ovs_jax.data.durable import sha256
from ovs_jax.data.images import HIGHEST_MAX_PIXELS, decode_image
from ovs_jax.data.manifest import Shard, read_manifest
from ovs_jax.data.records import BadRecordError
from ovs_jax.data.shards import ShardedCaptions

SAMPLE = 1000
"""How many images are decoded unless all are asked for."""
_MOST_FAULTS = 100


@dataclass(frozen=True)
class CheckReport:
    """What was looked at, and what is wrong with it.

    Attributes:
      records: how many records the folder has.
      shards: in how many files.
      images: how many images were decoded.
      faults: one line each, at most a hundred; none if all is well.
    """

    records: int
    shards: int
    images: int
    faults: tuple[str, ...]


def check_shards(
    folder: str | Path, *, sample: int | None = SAMPLE, progress: bool = False
) -> CheckReport:
    """Compares an ingested folder with its manifest.

    Sizes, checksums, numbers of records and of captions are compared for every shard; then images
    are decoded and their captions compared with those beside the shards.

    Args:
      folder: with ``manifest.json``.
      sample: how many images to decode, evenly spread; all if None.
      progress: show a bar.

    Returns:
      What was found.

    Raises:
      FileNotFoundError: there is no manifest.
      ValueError: the manifest is not as expected.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    faults: list[str] = []
    for shard in tqdm(manifest.shards, unit=" shards", disable=not progress):
        faults += _shard_faults(folder, shard)
    images = 0
    if not faults:
        source = ShardedCaptions(folder)
        try:
            captions, keys = source.captions(), source.keys()
        except ValueError as error:
            return CheckReport(manifest.kept, len(manifest.shards), 0, (str(error),))
        step = 1 if sample is None else max(manifest.kept // max(sample, 1), 1)
        for index in tqdm(range(0, len(source), step), unit=" images", disable=not progress):
            try:
                record = source[index]
                decode_image(record["image"], name=record["key"], max_pixels=HIGHEST_MAX_PIXELS)
            except BadRecordError as error:
                faults.append(f"record {index}: {error}")
                continue
            images += 1
            if (record["key"], record["caption"]) != (keys[index], captions[index]):
                faults.append(f"record {index}: {record['key']}: another caption in Parquet")
    return CheckReport(manifest.kept, len(manifest.shards), images, tuple(faults[:_MOST_FAULTS]))


def _shard_faults(folder: Path, shard: Shard) -> list[str]:
    faults = []
    for name, digest in ((shard.file, shard.sha256), (shard.captions, shard.captions_sha256)):
        if not (folder / name).is_file():
            faults.append(f"{name}: missing")
        elif sha256(folder / name) != digest:
            faults.append(f"{name}: its SHA-256 is not that of the manifest")
    if faults:
        return faults
    reader = ArrayRecordReader(str(folder / shard.file))
    found = reader.num_records()
    reader.close()
    if found != shard.records:
        faults.append(f"{shard.file}: expected {shard.records} records, got {found}")
    return faults
