"""Facts that ship as files: prompt templates, entities, class names, the synthetic vocabulary."""

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def asset_text(name: str) -> str:
    """The text of one shipped file, such as ``entities.json``.

    Raises:
      FileNotFoundError: no such file was shipped; names those that were.
    """
    folder = resources.files(__name__)
    file = folder / name
    if not file.is_file():
        found = sorted(item.name for item in folder.iterdir() if "." in item.name)
        raise FileNotFoundError(f"asset '{name}' is not part of the package; it has {found}")
    return file.read_text(encoding="utf-8")


@cache
def asset_json(name: str) -> Any:
    """The parsed content of one shipped JSON file. Shared between callers: do not change it."""
    return json.loads(asset_text(name))
