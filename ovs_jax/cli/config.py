"""Experiments by name: ``ovsegmentor/stage1:smoke``, with ``--config.a.b=value`` on top.

An experiment is a Python file with ``get_config(variant)``, in ``configs/`` of a checkout, in an
installed wheel, or anywhere else by its path.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

import ovs_jax
from ovs_jax.mapping import suggestion

PACKAGE = "ovs_jax.configs"
OVERRIDE = "--config."


def folder() -> Path:
    """Where the experiments are: ``configs/`` beside the package, or inside an installed one."""
    package = Path(ovs_jax.__file__).resolve().parent
    for candidate in (package.parent / "configs", package / "configs"):
        if (candidate / "base.py").is_file():
            return candidate
    raise FileNotFoundError(f"configs: neither beside nor inside {package}; reinstall ovs-jax")


def experiments() -> dict[str, str]:
    """Every experiment's name and the first line of what it says about itself."""
    found = {}
    for file in sorted(folder().glob("*/*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if "get_config" in defined:
            summary = (ast.get_docstring(tree) or "").split("\n")[0]
            found[f"{file.parent.name}/{file.stem}"] = summary
    return found


def load(name: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Loads an experiment.

    Args:
      name: ``folder/file`` or ``path/to/file.py``, with ``:variant`` after it or not.
      overrides: ``--config.field.field=value``, in order.

    Returns:
      The locked config.

    Raises:
      ValueError: an unknown experiment, variant or field, or a value of another type than the
      field's.
      FileNotFoundError: there is no such file.
    """
    experiment, _, variant = name.partition(":")
    module = _module(experiment)
    if not hasattr(module, "get_config"):
        raise ValueError(f"config {experiment}: expected a function get_config(variant)")
    config = module.get_config(variant or None)
    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"config {experiment}: expected get_config to return a ConfigDict, got "
            f"{type(config).__name__}"
        )
    for override in overrides:
        apply(config, override)
    return config


def _module(experiment: str) -> ModuleType:
    _register()
    if experiment.endswith(".py"):
        file = Path(experiment)
        if not file.is_file():
            raise FileNotFoundError(f"config: there is no file {file}")
        spec = importlib.util.spec_from_file_location(f"experiment_{file.stem}", file)
        try:
            return _execute(spec)
        except Exception as error:
            raise ValueError(
                f"config: {file} cannot be run: {type(error).__name__}: {error}"
            ) from error
    known = experiments()
    if experiment not in known:
        raise ValueError(
            f"config: no experiment '{experiment}', expected one of {', '.join(known)}"
            f"{suggestion(experiment, known)}"
        )
    return importlib.import_module(f"{PACKAGE}.{experiment.replace('/', '.')}")


def _register() -> None:
    """Makes the experiments importable as ``ovs_jax.configs``, wherever they are."""
    if PACKAGE in sys.modules:
        return
    root = folder()
    spec = importlib.util.spec_from_file_location(
        PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)]
    )
    _execute(spec)


def _execute(spec: Any) -> ModuleType:
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def apply(config: ConfigDict, override: str) -> None:
    """Sets one field of a config from ``--config.field.field=value``.

    The value is read as the field's present type: numbers and words as they stand, ``true`` and
    ``false``, and Python literals for tuples.

    Raises:
      ValueError: the override has no value, names no field, or its value is of another type.
    """
    path, separator, text = override.removeprefix(OVERRIDE).partition("=")
    if not separator:
        raise ValueError(f"{override}: expected {OVERRIDE}field=value")
    *parents, name = path.split(".")
    node: Any = config
    for parent in parents:
        node = _child(config, node, parent, path)
    current = _child(config, node, name, path)
    if isinstance(current, ConfigDict):
        raise ValueError(f"{OVERRIDE}{path} is a group of fields; set one of {', '.join(current)}")
    node[name] = _read(text, current, f"{OVERRIDE}{path}")


def _child(config: ConfigDict, node: Any, name: str, path: str) -> Any:
    if isinstance(node, ConfigDict) and name in node:
        return node[name]
    fields = flatten(config)
    last = path.rsplit(".", 1)[-1]
    near = get_close_matches(path, fields, n=1, cutoff=0.75) or [
        field for field in fields if field.rsplit(".", 1)[-1] == last
    ]
    near = near or get_close_matches(path, fields, n=1)
    hint = f"; did you mean {OVERRIDE}{near[0]}?" if near else ""
    raise ValueError(f"{OVERRIDE}{path}: no such field{hint}")


def _read(text: str, current: Any, where: str) -> Any:
    kind = type(current)
    if kind is str:
        return text
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return _tuples(ast.literal_eval(text))
        return kind(text)
    except (ValueError, KeyError, SyntaxError, TypeError) as error:
        raise ValueError(
            f"{where}: got '{text}', expected a {kind.__name__} such as {current!r}"
        ) from error


def _tuples(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a tuple, got {value!r}")
    return tuple(_tuples(item) if isinstance(item, list | tuple) else item for item in value)


def flatten(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Every field of a config by its dotted name."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
