"""Which benchmarks there are, and opening them by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.data.benchmarks import conversion, layouts
from ovs_jax.data.benchmarks.conversion import Table, convert, derive, drop_zero, ignore_label, keep
from ovs_jax.data.benchmarks.imagenet import open_imagenet
from ovs_jax.data.benchmarks.prepared import find_prepared, open_prepared
from ovs_jax.data.images import decode_label
from ovs_jax.data.records import Source
from ovs_jax.text.class_sets import class_set
from ovs_jax.typing import ClassSet


@dataclass(frozen=True, eq=False)
class View:
    """The labels of a benchmark as indices of one class list.

    Attributes:
      name: of the view; that of the class list, except where one list has two conversions.
      classes: the class list; None for classification.
      table: what every stored id becomes; None for classification.
      note: what is peculiar to its labels.
    """

    name: str
    classes: ClassSet | None
    table: Table | None = field(repr=False)
    note: str = ""

    @property
    def ignore_label(self) -> int | None:
        """The label of pixels that are not judged."""
        return None if self.classes is None else ignore_label(len(self.classes))


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A public data set.

    Attributes:
      name: what commands call it.
      views: the class lists that its labels can be read as; the first is the usual one.
      splits: which there are, the evaluated one first.
      find: finds its official files below a folder.
      listed: whether splits are files of names, of which there may be others.
    """

    name: str
    views: tuple[View, ...]
    splits: tuple[str, ...] = ("val", "train")
    find: Callable[[Path, str], Any] = field(kw_only=True)
    listed: bool = field(default=False, kw_only=True)

    @property
    def class_sets(self) -> tuple[str, ...]:
        """The names of the class lists, each once."""
        return tuple(dict.fromkeys(v.classes.name for v in self.views if v.classes is not None))


@dataclass(frozen=True)
class Scenes:
    """Photographs whose label maps are read as class indices.

    Attributes:
      source: records with ``image``, ``label`` (both encoded) and ``key``.
      view: what the labels mean.
      decode: what makes ids of a label map.
      table: what makes class indices of the ids.
    """

    source: Source
    view: str
    decode: layouts.Decode
    table: Table = field(repr=False)

    @property
    def class_set(self) -> ClassSet:
        """The class list that labels index."""
        classes = find_view(self.view)[1].classes
        if classes is None:
            raise ValueError(f"benchmark '{self.view}' has no label maps")
        return classes

    @property
    def ignore_label(self) -> int:
        """The label of pixels that are not judged."""
        return ignore_label(len(self.class_set))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The encoded image, its labels as int32 [h, w], and its key.

        Raises:
          BadRecordError: a file cannot be read, or its labels have ids that the data set lacks.
        """
        record = self.source[index]
        name = str(record["label_key"])
        ids = self.decode(record["label"], name=name)
        return {**record, "label": convert(ids, self.table, name=name)}


def _view(name: str, table: Table, *, classes: str = "", note: str = "") -> View:
    return View(name, class_set(classes or name), table, note)


BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "pascal_voc",
            (
                _view("voc21", keep(21)),
                _view("voc20", drop_zero(20, stored_ignore=True), note="background is not judged"),
            ),
            find=layouts.pascal_voc,
            listed=True,
        ),
        Benchmark(
            "pascal_context",
            (
                _view("context60", keep(60)),
                _view(
                    "context59", drop_zero(59, stored_ignore=True), note="background is not judged"
                ),
            ),
            find=layouts.pascal_context,
            listed=True,
        ),
        Benchmark(
            "coco_object",
            (
                _view("coco_object81", conversion.coco_objects()),
                _view(
                    "coco_object81_ovsegmentor",
                    conversion.coco_objects_ovsegmentor(),
                    classes="coco_object81",
                    note="as published by OVSegmentor: stuff has label 81, which names no class",
                ),
            ),
            find=layouts.coco_stuff,
        ),
        Benchmark(
            "coco_stuff",
            (
                _view("coco_stuff171", conversion.coco_stuff()),
                _view(
                    "coco_stuff_ovsegmentor",
                    conversion.coco_stuff_ovsegmentor(),
                    note="unlabelled pixels are background",
                ),
            ),
            find=layouts.coco_stuff,
        ),
        Benchmark(
            "ade20k",
            (_view("ade150", drop_zero(150, stored_ignore=False), note="'other' is not judged"),),
            find=layouts.ade20k,
        ),
        Benchmark("ade20k_full", (_view("ade847", keep(847)),), find=layouts.ade20k_full),
        Benchmark("cityscapes", (_view("cityscapes19", keep(19)),), find=layouts.cityscapes),
        Benchmark("imagenet", (View("imagenet", None, None),), find=open_imagenet),
    )
}


def find_view(name: str) -> tuple[Benchmark, View]:
    """The benchmark and the reading of its labels that a name means.

    Args:
      name: of a benchmark, which means its first view; or of a view.

    Raises:
      ValueError: there is neither; the message lists all.
    """
    known: dict[str, tuple[Benchmark, View]] = {}
    for benchmark in BENCHMARKS.values():
        known[benchmark.name] = benchmark, benchmark.views[0]
        known.update({view.name: (benchmark, view) for view in benchmark.views})
    if name not in known:
        near = get_close_matches(name, known, n=1)
        suggestion = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(
            f"benchmark: unknown '{name}', expected one of {sorted(BENCHMARKS)}, or of their class "
            f"lists {[name for name in known if name not in BENCHMARKS]}{suggestion}"
        )
    return known[name]


def open_benchmark(name: str, root: str | Path, *, split: str | None = None) -> Source:
    """Opens a benchmark in the folders of its official download, or as prepared.

    Args:
      name: ``pascal_voc``, ``pascal_context``, ``coco_object``, ``coco_stuff``, ``ade20k``,
        ``ade20k_full``, ``cityscapes`` or ``imagenet``; or a class list that one of them can be
        read with, such as ``voc20``.
      root: the folder of the download, or what ``ovs-jax data prepare`` wrote.
      split: which part; the evaluated one (``val``) by default.

    Returns:
      `Scenes`: records with ``image`` (encoded), ``label`` (indices of ``class_set``, int32 [h, w],
      ``ignore_label`` where nothing is judged) and ``key``. Of ``imagenet`` records with ``image``,
      ``label_index`` and ``key``.

    Raises:
      FileNotFoundError: a folder, a list or a file is missing; names what was looked for and what
        was found.
      ValueError: an unknown name or split, no image, or prepared data that lack what is asked for.
    """
    benchmark, view = find_view(name)
    root, split = Path(root), split or benchmark.splits[0]
    prepared = _open_prepared(benchmark, view, root, split)
    if prepared is not None:
        return prepared
    if split not in benchmark.splits and not benchmark.listed:
        raise ValueError(
            f"{benchmark.name} data {root}: split '{split}' is unknown, expected one of "
            f"{list(benchmark.splits)}"
        )
    found = benchmark.find(root, split)
    if not isinstance(found, layouts.Layout):
        return found
    return Scenes(found.photos, view.name, found.decode, _table(view))


def _open_prepared(benchmark: Benchmark, view: View, root: Path, split: str) -> Source | None:
    names = [view.name, *(other.name for other in benchmark.views if other is not view)]
    folder = find_prepared(root, names)
    if folder is None:
        return None
    records = open_prepared(folder, split)
    if view.table is None:
        return records
    stored = find_view(folder.view)[1]
    table = _indices(view) if stored is view else derive(_table(stored), view.table)
    if table is None:
        raise ValueError(
            f"{benchmark.name} data {root}: prepared as '{stored.name}', which does not tell apart "
            f"what '{view.name}' does; prepare it with ovs-jax data prepare {view.name}"
        )
    return Scenes(records, view.name, decode_label, table)


def _table(view: View) -> Table:
    if view.table is None:
        raise ValueError(f"benchmark '{view.name}' has no label maps")
    return view.table


def _indices(view: View) -> Table:
    """For labels that are indices already."""
    made = _table(view)
    return conversion.table({int(i): int(i) for i in np.unique(made[made != conversion.UNKNOWN])})
