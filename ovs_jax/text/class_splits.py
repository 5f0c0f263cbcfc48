"""Class lists divided into classes with training masks and classes without.

Facts: ZegFormer, section 4.1. Published divisions of COCO-Stuff (156 and 15), PASCAL VOC (15 and 5)
and ADE20K-Full (572 and 275).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ovs_jax.text.assets import asset_json
from ovs_jax.text.class_sets import class_set
from ovs_jax.text.prompts import synonyms
from ovs_jax.typing import ClassSet

IGNORED = -1
"""The class of pixels that are neither trained on nor judged."""


@dataclass(frozen=True)
class ClassSplit:
    """Classes in the order of evaluation, some of them without training masks.

    Attributes:
      classes: all of them, with the names that prompts are made of.
      unseen: indices of those without training masks, ascending.
      labels: for each class the label that a source stores for it.
    """

    classes: ClassSet
    unseen: tuple[int, ...]
    labels: tuple[int, ...] = field(repr=False)

    def __post_init__(self) -> None:
        where, count = f"class split '{self.name}'", len(self.classes)
        if self.classes.has_background:
            raise ValueError(f"{where}: expected a class list without background, got one with it")
        for name in self.classes.names:
            synonyms(name)
        if list(self.unseen) != sorted(set(self.unseen) & set(range(count))):
            raise ValueError(
                f"{where}: expected ascending unseen indices of 0 to {count - 1}, "
                f"got {list(self.unseen)}"
            )
        if len(self.labels) != count:
            raise ValueError(
                f"{where}: expected a label for each of {count} classes, got {len(self.labels)}"
            )
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice or min(self.labels) < 0:
            raise ValueError(
                f"{where}: expected a label of its own for every class, 0 or above; got "
                f"{f'{twice[:8]} for several' if twice else min(self.labels)}"
            )

    @property
    def name(self) -> str:
        """That of the class list."""
        return self.classes.name

    @property
    def seen(self) -> tuple[int, ...]:
        """Indices of the classes with training masks, ascending: the order of training."""
        unseen = set(self.unseen)
        return tuple(index for index in range(len(self.classes)) if index not in unseen)

    @property
    def seen_names(self) -> tuple[str, ...]:
        """Names of the classes with training masks, in the order of training."""
        return tuple(self.classes.names[index] for index in self.seen)

    def evaluated(
        self, label: Int[np.ndarray, "h w"], *, ignore_label: int
    ) -> Int[np.ndarray, "h w"]:
        """Stored labels as class indices, `IGNORED` where a pixel is not judged.

        Raises:
          ValueError: there are labels that are neither of a class nor ``ignore_label``.
        """
        return self._converted(label, range(len(self.classes)), ignore_label)

    def trained(
        self, label: Int[np.ndarray, "h w"], *, ignore_label: int
    ) -> Int[np.ndarray, "h w"]:
        """Stored labels as indices of seen classes, `IGNORED` for unseen ones too.

        Raises:
          ValueError: there are labels that are neither of a class nor ``ignore_label``.
        """
        places = np.full(len(self.classes), IGNORED)
        places[list(self.seen)] = np.arange(len(self.seen))
        return self._converted(label, places.tolist(), ignore_label)

    def _converted(
        self, label: Int[np.ndarray, "h w"], values: Sequence[int], ignore_label: int
    ) -> Int[np.ndarray, "h w"]:
        unknown = IGNORED - 1
        table = np.full(max(*self.labels, ignore_label) + 2, unknown, np.int32)
        table[list(self.labels)] = list(values)
        table[ignore_label] = IGNORED
        # What lies outside the table is looked up in its last entry, which no label has.
        inside = (label >= 0) & (label < len(table) - 1)
        found = table[np.where(inside, label, len(table) - 1)]
        if found.size and found.min() == unknown:
            strange = np.unique(label[found == unknown]).tolist()
            raise ValueError(
                f"labels {strange[:8]} are of no class of '{self.name}'; expected "
                f"{min(self.labels)} to {max(self.labels)} as its class list has them, "
                f"or {ignore_label} for ignored pixels"
            )
        return found


def split_names() -> tuple[str, ...]:
    """The names that `class_split` knows."""
    return tuple(asset_json("class_splits.json"))


def class_split(name: str) -> ClassSplit:
    """A published division; its labels are indices of the class list of a benchmark.

    Args:
      name: ``coco_stuff`` (unseen classes last), ``pascal_voc`` (without background) or
        ``ade20k_full`` (unseen classes between the others).

    Raises:
      ValueError: an unknown name.
    """
    table = asset_json("class_splits.json")
    if name not in table:
        raise ValueError(f"class split '{name}' is unknown; expected one of {sorted(table)}")
    entry = table[name]
    listed = class_set(entry["classes"])
    names = tuple(entry["names"]) or listed.names
    return split_classes(
        ClassSet(listed.name, names), unseen=entry["unseen"], unseen_last=entry["unseen_last"]
    )


def split_classes(
    classes: ClassSet,
    *,
    unseen: Sequence[str],
    seen: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    unseen_last: bool = False,
) -> ClassSplit:
    """Divides a class list by names.

    Args:
      classes: all classes, without background.
      unseen: those without training masks.
      seen: those with; all others if None.
      labels: what a source stores for each of ``classes``; their indices if None.
      unseen_last: whether the unseen classes come after all others in the order of evaluation.

    Returns:
      The division; seen and unseen classes keep the order of ``classes``.

    Raises:
      ValueError: a name that is not in the class list (the nearest is suggested), a list with a
        name twice, lists that overlap or leave classes out, or labels that do not fit.
    """
    where = f"class split '{classes.name}'"
    chosen = _indices(classes, unseen, where=f"{where}, unseen")
    if seen is not None:
        others = _indices(classes, seen, where=f"{where}, seen")
        both = [classes.names[index] for index in sorted(set(chosen) & set(others))]
        if both:
            raise ValueError(f"{where}: {both[:8]} are in the seen and in the unseen list")
        missing = sorted(set(range(len(classes))) - set(chosen) - set(others))
        if missing:
            names = [classes.names[index] for index in missing]
            raise ValueError(
                f"{where}: {len(missing)} of {len(classes)} classes are in neither list, such as "
                f"{names[:8]}"
            )
    if len(chosen) == len(classes):
        raise ValueError(f"{where}: expected at least one seen class, got none")
    stored = tuple(range(len(classes))) if labels is None else tuple(labels)
    if len(stored) != len(classes):
        raise ValueError(
            f"{where}: expected a label for each of {len(classes)} classes, got {len(stored)}"
        )
    order = list(range(len(classes)))
    if unseen_last:
        order = sorted(order, key=lambda index: index in set(chosen))
    place = {index: at for at, index in enumerate(order)}
    return ClassSplit(
        ClassSet(classes.name, tuple(classes.names[index] for index in order)),
        unseen=tuple(sorted(place[index] for index in chosen)),
        labels=tuple(stored[index] for index in order),
    )


def read_class_split(path: str | Path) -> ClassSplit:
    """A division from a JSON file of the user.

    The file has ``classes``, a list of names or of pairs of stored label and name, in the order of
    evaluation; ``unseen``, a list of names; and perhaps ``seen``, to be checked against the rest.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not as described, or the lists do not fit; see `split_classes`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"class split {path} does not exist")
    content = _parsed(path)
    unknown = sorted(set(content) - {"classes", "unseen", "seen"})
    if unknown or not {"classes", "unseen"} <= set(content):
        raise ValueError(
            f"class split {path}: expected the fields classes, unseen and perhaps seen, "
            f"got {sorted(content)}"
        )
    entries = content["classes"]
    paired = all(isinstance(entry, list) for entry in entries)
    names = [entry[1] if paired and len(entry) == 2 else entry for entry in entries]
    labels = [entry[0] for entry in entries] if paired else None
    whole = labels is None or all(type(label) is int for label in labels)
    if not entries or not all(isinstance(name, str) for name in names) or not whole:
        raise ValueError(
            f"class split {path}, classes: expected names, or pairs of a whole number and a name; "
            f"got {entries[:3]}"
        )
    stray = [name for name in names if name != " ".join(name.split())]
    if stray:
        raise ValueError(f"class split {path}, classes: {stray[:8]} have stray blanks")
    return split_classes(
        ClassSet(path.stem, tuple(names)),
        unseen=content["unseen"],
        seen=content.get("seen"),
        labels=labels,
    )


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"class split {path}: expected JSON, got an error: {error}") from error
    lists = isinstance(content, dict) and all(isinstance(value, list) for value in content.values())
    if not lists:
        raise ValueError(f"class split {path}: expected an object of lists")
    return content


def _indices(classes: ClassSet, names: Sequence[str], *, where: str) -> list[int]:
    known = {name: index for index, name in enumerate(classes.names)}
    for name in names:
        if name not in known:
            raise ValueError(
                f"{where}: '{name}' is not in the class list{_nearest(str(name), classes)}"
            )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"{where}: expected every class once, got {twice[:8]} twice")
    return [known[name] for name in names]


def _nearest(name: str, classes: ClassSet) -> str:
    """What was probably meant: the same name but for blanks, one of the synonyms, or nearly so."""
    bare = " ".join(name.split()).lower()
    for known in classes.names:
        if bare == known.lower() or bare in known.lower().split(", "):
            return f"; did you mean '{known}'? Names count in full, with all synonyms and no blanks"
    near = get_close_matches(name, classes.names, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
