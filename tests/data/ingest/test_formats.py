"""Round trips of real photographs through every kind of source."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from ovs_jax.data.images import decode_image
from ovs_jax.data.ingest import IngestOptions, ingest
from ovs_jax.data.sources import open_image_text
from tests.data.damage import write_tar

Pairs = list[tuple[str, bytes, str]]
QUICK = IngestOptions(verify=False, records_per_shard=100)


def images(folder: Path, pairs: Pairs) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, image, _ in pairs:
        if not (folder / f"{name}.jpg").exists():
            (folder / f"{name}.jpg").write_bytes(image)


def listed(folder: Path, pairs: Pairs) -> Path:
    images(folder / "images", pairs)
    captions: dict[str, list[str]] = {}
    for name, _, caption in pairs:
        captions.setdefault(name, []).append(caption)
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def beside(folder: Path, pairs: Pairs) -> Path:
    listed(folder, pairs)
    for name, captions in json.loads((folder / "captions.json").read_text()).items():
        (folder / "images" / f"{name}.txt").write_text("\n".join(captions) + "\n")
    return folder / "images"


def tars(folder: Path, pairs: Pairs) -> Path:
    """As img2dataset writes them; every other caption only in the JSON or Parquet metadata."""
    folder.mkdir()
    for shard, start in enumerate(range(0, len(pairs), 300)):
        members, rows = [], []
        for i, (_, image, caption) in enumerate(pairs[start : start + 300]):
            key = f"{shard:05d}{i:04d}"
            members.append((f"{key}.jpg", image))
            if i % 3 == 0:
                members.append((f"{key}.txt", caption.encode()))
            if i % 3 == 1:
                members.append((f"{key}.json", json.dumps({"caption": caption}).encode()))
            rows.append({"key": key, "caption": caption, "status": "success"})
        write_tar(folder / f"{shard:05d}.tar", members)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{shard:05d}.parquet")
    return folder


def image_parquet(folder: Path, pairs: Pairs) -> Path:
    """As img2dataset writes it: row groups of 100, failed downloads among the rows."""
    folder.mkdir()
    rows = [
        {"key": f"{i:09d}", "caption": caption, "jpg": image, "status": "success"}
        for i, (_, image, caption) in enumerate(pairs)
    ]
    failed = {"key": "x", "caption": "gone", "jpg": None, "status": "failed_to_download"}
    rows[7:7] = [failed] * 60
    for number, part in enumerate((rows[:400], rows[400:])):
        pq.write_table(pa.Table.from_pylist(part), folder / f"{number:05d}.parquet", 100)
    return folder


def hub_parquet(folder: Path, pairs: Pairs) -> Path:
    """As on the Hugging Face hub: images in structures, several captions a row."""
    folder.mkdir()
    rows = [
        {"image": {"bytes": pairs[i][1], "path": None}, "caption": [p[2] for p in pairs[i : i + 5]]}
        for i in range(0, len(pairs), 5)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    return folder / "train.parquet"


def file_parquet(folder: Path, pairs: Pairs) -> Path:
    images(folder, pairs)
    rows = [{"image": f"{name}.jpg", "caption": caption} for name, _, caption in pairs]
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    return folder / "t.parquet"


def delimited(suffix: str) -> Callable[[Path, Pairs], Path]:
    def make(folder: Path, pairs: Pairs) -> Path:
        images(folder, pairs)
        with open(folder / f"t{suffix}", "w", encoding="utf-8-sig", newline="") as file:
            if suffix == ".tsv":
                file.write("caption\timage\n")
                file.writelines(f"{caption}\t{name}.jpg\n" for name, _, caption in pairs)
            else:
                rows = ((f"{name}.jpg", caption) for name, _, caption in pairs)
                csv.writer(file).writerows([("image", "caption"), *rows])
        return folder / f"t{suffix}"

    return make


def json_list(folder: Path, pairs: Pairs) -> Path:
    images(folder, pairs)
    rows = [{"image": f"{name}.jpg", "caption": caption} for name, _, caption in pairs]
    (folder / "t.json").write_text(json.dumps(rows))
    return folder / "t.json"


def json_lines(folder: Path, pairs: Pairs) -> Path:
    rows = json.loads(json_list(folder, pairs).read_text())
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "t.jsonl"


def conceptual(folder: Path, pairs: Pairs) -> Path:
    """Captions and addresses without a header, files where img2dataset puts them."""
    (folder / "00000").mkdir(parents=True)
    lines = []
    for row, (name, image, caption) in enumerate(pairs):
        (folder / "00000" / f"{row:09d}.jpg").write_bytes(image)
        lines.append(f"{caption}\thttps://example.org/{name}.jpg?size=3\n")
    (folder / "captions.tsv").write_text("".join(lines))
    return folder / "captions.tsv"


class Pictures(tfds.core.GeneratorBasedBuilder):
    """A data set with lists of captions."""

    VERSION = tfds.core.Version("1.0.0")
    pairs: Pairs = []  # noqa: RUF012, set before use

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Sequence({"text": tfds.features.Text()})
        features = {"image": tfds.features.Image(), "captions": text}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: object) -> dict[str, object]:
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        import io

        for i in range(0, len(self.pairs), 5):
            texts = [{"text": caption} for _, _, caption in self.pairs[i : i + 5]]
            yield f"{i:05d}", {"image": io.BytesIO(self.pairs[i][1]), "captions": texts}


MAKERS = {
    "listed": listed,
    "text files": beside,
    "tars": tars,
    "image parquet": image_parquet,
    "hub parquet": hub_parquet,
    "file parquet": file_parquet,
    "csv": delimited(".csv"),
    "tsv": delimited(".tsv"),
    "json": json_list,
    "jsonl": json_lines,
    "conceptual captions": conceptual,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_goes_in_comes_out(kind: str, real_pairs: Pairs, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path / "in", real_pairs)
    manifest = ingest(source, tmp_path / "out", QUICK)
    dead = 60 if kind == "image parquet" else 0
    assert (manifest.read, manifest.kept) == (545 + dead, 545)
    assert manifest.dropped == ({"not downloaded": 60} if dead else {})
    assert len(manifest.shards) > 1 or kind == "hub parquet"
    opened = open_image_text(tmp_path / "out")
    found = [opened[i] for i in range(len(opened))]
    wanted = real_pairs
    if kind == "text files":  # in the order of their names
        wanted = sorted(real_pairs, key=lambda pair: pair[0])
    assert [record["caption"] for record in found] == [caption for _, _, caption in wanted]
    assert list(opened.captions()) == [caption for _, _, caption in wanted]
    assert all(r["image"] == image for r, (_, image, _) in zip(found, wanted, strict=True))
    for index in (0, 544):
        pixels = decode_image(found[index]["image"], name="out")
        np.testing.assert_array_equal(pixels, decode_image(wanted[index][1], name="in"))


def test_a_data_set_of_tfds_comes_out_and_can_be_opened_as_it_is(
    real_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pictures, "pairs", real_pairs)
    Pictures(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    options = IngestOptions(verify=False, caption_column="captions/text", data_dir=str(tmp_path))
    manifest = ingest("tfds:pictures:train", tmp_path / "out", options)
    assert (manifest.read, manifest.kept) == (545, 545)
    wanted = sorted((caption, image) for _, image, caption in real_pairs)  # TFDS shuffles
    direct = open_image_text(
        "tfds:pictures", caption_column="captions/text", data_dir=str(tmp_path)
    )
    for opened in (open_image_text(tmp_path / "out"), direct):
        records = [opened[i] for i in range(len(opened))]
        assert sorted((r["caption"], r["image"]) for r in records) == wanted
        assert list(opened.captions()) == [r["caption"] for r in records]


def test_an_ingested_folder_can_be_ingested_again_and_filtered(
    real_pairs: Pairs, tmp_path: Path
) -> None:
    ingest(listed(tmp_path / "in", real_pairs), tmp_path / "all", QUICK)
    manifest = ingest(tmp_path / "all", tmp_path / "dogs", QUICK, keep=Naming("dog"))
    dogs = [caption for _, _, caption in real_pairs if "dog" in caption]
    assert list(open_image_text(tmp_path / "dogs").captions()) == dogs
    assert manifest.dropped == {"filter: no dog": 545 - len(dogs)}
    assert manifest.options["filter"] == "names a dog"


class Naming:
    """Keeps captions with a word."""

    def __init__(self, word: str):
        self.word = word
        self.name = f"names a {word}"

    def __call__(self, record: dict) -> str | None:
        return None if self.word in record["caption"] else f"no {self.word}"
