"""Writes benchmarks as ``tensorflow-datasets`` of ArrayRecord files, without TensorFlow.

A prepared data set is one folder ``VIEW/VERSION`` that any program reads with
``tfds.builder_from_directory``: the image files as they were, label maps as single-channel PNGs of
class indices (palettes and colours are gone: those who decode them get indices). It appears under
its name only when it is whole. Two preparations of the same data must not run at the same time.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Integer
from PIL import Image

from ovs_jax.data.benchmarks.catalogue import View, find_view, open_benchmark
from ovs_jax.data.benchmarks.check import checked
from ovs_jax.data.benchmarks.prepared import INCOMPLETE, VERSION
from ovs_jax.data.records import Record, Source

_log = logging.getLogger(__name__)


class BenchmarkBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Iterates over the sources of an opened benchmark and stores their records.

    One subclass a view, made by `prepare_benchmark`, has its name.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, view: View, sources: Mapping[str, Source], *, root: Path, **options: Any):
        self._view = view
        self._sources = sources
        self._root = root
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        view = self._view
        features: dict[str, Any] = {"image": tfds.features.Image(), "key": tfds.features.Text()}
        facts: dict[str, Any] = {}
        if view.classes is None:
            features["label_index"] = tfds.features.ClassLabel(num_classes=1000)
        else:
            features["label"] = tfds.features.Image(
                shape=(None, None, 1), dtype=_depth(view), encoding_format="png"
            )
            features["label_key"] = tfds.features.Text()
            facts = {
                "class_set": view.classes.name,
                "classes": list(view.classes.names),
                "ignore_label": view.ignore_label,
                "note": view.note,
            }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{find_view(view.name)[0].name} with the labels of {view.name}.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(facts),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Record]]]:
        return {split: self._generate_examples(split) for split in self._sources}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Record]]:
        source = self._sources[split]
        for index in range(len(source)):
            record = dict(source[index])
            checked(record, self._view)
            if "label" in record:
                record["label"] = encode_label(record["label"].astype(_depth(self._view)))
            for name in record.keys() & {"key", "label_key"}:
                path = Path(record[name])
                if path.is_relative_to(self._root):  # the data may be read on another machine
                    record[name] = path.relative_to(self._root).as_posix()
            yield index, record


def _depth(view: View) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if (view.ignore_label or 0) <= 255 else np.uint16


def encode_label(label: Integer[np.ndarray, "h w"]) -> bytes:
    """A single-channel PNG of class indices, 8 or 16 bits as the array has."""
    file = BytesIO()
    Image.fromarray(label).save(file, "PNG")
    return file.getvalue()


def prepare_benchmark(
    name: str, root: str | Path, out: str | Path, *, splits: Sequence[str] = ()
) -> Path:
    """Writes a benchmark as a prepared data set, which `open_benchmark` opens faster and anywhere.

    Args:
      name: of the benchmark, or of the class list to convert its labels to.
      root: the folder of the official download.
      out: the folder to write into.
      splits: which parts; the evaluated one by default.

    Returns:
      The folder of the data set, ``OUT/VIEW/VERSION``.

    Raises:
      FileNotFoundError, ValueError: as `open_benchmark`; also a file that cannot be used, by name.
      FileExistsError: it was prepared before.
      OSError: it cannot be written; nothing is left then.
    """
    benchmark, view = find_view(name)
    splits = tuple(splits) or benchmark.splits[:1]
    root = Path(root)
    sources = {split: open_benchmark(view.name, root, split=split) for split in splits}
    folder = Path(out) / view.name / VERSION
    if folder.exists():
        raise FileExistsError(
            f"prepared data {folder} exists; remove it first, or choose another --out"
        )
    _remove_unfinished(Path(out), view)
    draft = Path(out) / f"{INCOMPLETE}{view.name}.{uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        builder = _builder_of(view)(
            view, sources, root=root, data_dir=str(draft), file_format="array_record"
        )
        with redirect_stdout(StringIO()):  # it speaks of downloads, of which there are none
            builder.download_and_prepare(download_dir=str(draft / "downloads"))
        _force_to_disk(draft / view.name)
        folder.parent.mkdir(exist_ok=True)
        (draft / view.name / VERSION).rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if Path(out).is_dir() and not any(Path(out).iterdir()):
            Path(out).rmdir()
    return folder


def _builder_of(view: View) -> type[BenchmarkBuilder]:
    words = "".join(word.capitalize() for word in view.name.split("_"))
    parts = {"name": view.name, "__module__": __name__}
    return type(words, (BenchmarkBuilder,), parts, skip_registration=True)


def _force_to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_unfinished(out: Path, view: View) -> None:
    """What a preparation that was killed could not remove itself."""
    for left in out.glob(f"{INCOMPLETE}{view.name}.*"):
        _log.warning("%s: removing what an interrupted preparation left", left)
        shutil.rmtree(left)
