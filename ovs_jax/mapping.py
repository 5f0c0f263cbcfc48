"""Frozen dataclasses from nested dicts, and names from tables, with errors that tell what to write.

Configs arrive as plain dicts: from experiments, command lines and the JSON of checkpoints. Here
they become dataclasses, once, with every name and type checked.
No arrays: anything may import this.
"""

import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def from_mapping(kind: type[T], values: Mapping[str, Any], *, where: str = "config") -> T:
    """Makes a dataclass from a nested dict.

    Lists become tuples and integers floats where the field asks for it, so that what JSON made of
    a config gives the config back. Of a field that may hold one of several dataclasses, each with a
    field ``kind``, that field says which; the first is meant where nothing does.

    Args:
      kind: a dataclass, which may hold others.
      values: a value for some or all of its fields; the others keep their defaults.
      where: what messages call the config; its fields follow after a dot.

    Returns:
      An instance of ``kind``.

    Raises:
      ValueError: an unknown field (the nearest is suggested), a missing one, a value of another
        type, or what the dataclass itself refuses.
    """
    checked = _checked(kind, values, None, where)
    missing = [
        item.name
        for item in fields(kind)  # pyright: ignore[reportArgumentType]
        if item.name not in checked and item.default is MISSING and item.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{where}: expected a value for {', '.join(missing)}, got none")
    return kind(**checked)


def override(config: T, values: Mapping[str, Any], *, where: str = "config") -> T:
    """Replaces some fields of a dataclass, at any depth.

    Args:
      config: the dataclass to start from; it is not changed.
      values: as in `from_mapping`; fields that are not named keep the values of ``config``.
      where: as in `from_mapping`.

    Returns:
      A new dataclass of the same type.

    Raises:
      ValueError: as in `from_mapping`.
    """
    return replace(config, **_checked(type(config), values, config, where))  # pyright: ignore


def lookup(table: Mapping[str, T], name: str, *, what: str) -> T:
    """The entry of a table.

    Args:
      table: everything that has a name.
      name: the one that is wanted.
      what: what the table holds, such as ``model.name``, for the message.

    Raises:
      ValueError: there is none of this name; the message lists those there are and suggests the
        nearest.
    """
    if name not in table:
        raise ValueError(
            f"{what}: unknown '{name}', expected one of {sorted(table)}{suggestion(name, table)}"
        )
    return table[name]


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean '…'?`` with the nearest known name, or nothing where none is near."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    return f"; did you mean '{near[0]}'?" if near else ""


def _checked(kind: type, values: Mapping[str, Any], current: Any, where: str) -> dict[str, Any]:
    """The values with the types of the fields; ``current`` fills what nested dicts leave out."""
    hints = typing.get_type_hints(kind)
    known = [item.name for item in fields(kind)]
    for name in values:
        if name not in known:
            raise ValueError(
                f"{where}.{name}: no such field, expected one of {known}{suggestion(name, known)}"
            )
    return {
        name: _typed(value, hints[name], getattr(current, name, None), f"{where}.{name}")
        for name, value in values.items()
    }


def _typed(value: Any, hint: Any, current: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is UnionType and isinstance(value, Mapping):
        hint = _chosen(value, inner, current, where)
        current = current if isinstance(current, hint) else None
    if is_dataclass(hint) and isinstance(value, Mapping):
        if current is None:
            return from_mapping(hint, value, where=where)  # pyright: ignore[reportArgumentType]
        return override(current, value, where=where)
    if origin is Literal and any(type(value) is type(item) and value == item for item in inner):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [inner[0]] * len(value) if inner[-1] is ... else list(inner)
        if len(kinds) == len(value):
            return tuple(
                _typed(item, kind, None, f"{where}[{index}]")
                for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
            )
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise ValueError(f"{where}: got {value!r}, expected {_described(hint)}")


def _chosen(value: Mapping[str, Any], kinds: tuple[type, ...], current: Any, where: str) -> type:
    """The dataclass whose ``kind`` the value names, else the present one's, else the first."""
    table: dict[str, type] = {
        str(item.default): kind for kind in kinds for item in fields(kind) if item.name == "kind"
    }
    if "kind" not in value:
        return kinds[0] if current is None else type(current)
    kind = _typed(value["kind"], str, None, f"{where}.kind")
    return lookup(table, kind, what=f"{where}.kind")


def _described(hint: Any) -> str:
    if typing.get_origin(hint) is UnionType:
        return " or ".join(_described(kind) for kind in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return f"one of {typing.get_args(hint)}"
    if is_dataclass(hint):
        return f"a group of fields: {', '.join(item.name for item in fields(hint))}"
    return str(hint) if typing.get_args(hint) else hint.__name__
