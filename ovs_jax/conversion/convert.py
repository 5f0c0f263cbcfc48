"""From a published checkpoint to a model of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.conversion import files
from ovs_jax.conversion.rules import ConversionError, Entry, Rule, matches, to_ours
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources import SOURCES, looks_like, source_of
from ovs_jax.mapping import lookup, override
from ovs_jax.models import registry
from ovs_jax.nn import functional


@dataclass(frozen=True)
class Conversion:
    """A published checkpoint in our form, with all it takes to give it back.

    Attributes:
      source: what kind it was.
      config: our config of its sizes, for ``registry.build``.
      params: our parameters, as numpy arrays.
      stats: our batch statistics.
      entries: what became of every array of the source, in its order.
      unused: the arrays that no part of the model uses, under their foreign names.
      files: what was read.
      beside: what stood beside the weights and was left out.
      prefix: what stood before all foreign names.
    """

    source: Source
    config: registry.AnyConfig
    params: functional.Tree
    stats: functional.Tree
    entries: tuple[Entry, ...]
    unused: dict[str, np.ndarray]
    files: tuple[files.File, ...]
    beside: tuple[str, ...]
    prefix: str


def convert(
    name: str, path: str | Path, *, overrides: Mapping[str, Any] | None = None
) -> Conversion:
    """Converts a published checkpoint.

    Args:
      name: one of `sources.SOURCES`.
      path: a ``.safetensors`` file, a file of torch's with nothing but arrays in it, or a Hugging
        Face folder.
      overrides: fields of our config that cannot be told from shapes, such as
        ``{"encoder": {"heads": (4, 4, 4)}}``.

    Returns:
      The weights in our form.

    Raises:
      ConversionError: names or shapes do not fit; lists all of it.
      ValueError: an unknown source, or a file that cannot be read without running code.
      FileNotFoundError: there is no such file.
      ImportError: it takes torch to read it, and that is not installed.
    """
    path = Path(path)
    lookup(SOURCES, name, what="source")  # before a large file is read
    stored = files.read(path)
    names = list(stored.state)
    source = source_of(name, names)
    if source.folder and stored.settings is None:
        raise FileNotFoundError(
            f"{path}: expected a Hugging Face folder with {files.SETTINGS}: source {source.name} "
            "reads the number of attention heads there"
        )
    prefix = next((p for p in source.prefixes if p + source.marker in names), "")
    rules = prefixed_rules(source, prefix)
    config = _config(source, stored, prefix, rules)
    config = override(config, overrides or {}, where="model")
    _, params, stats = registry.shapes(config)
    converted = to_ours(stored.state, rules, params=params, stats=stats)
    return Conversion(
        source=source,
        config=config,
        params=converted.params,
        stats=converted.stats,
        entries=converted.entries,
        unused={name: np.array(stored.state[name]) for name in converted.ignored},
        files=stored.files,
        beside=stored.beside,
        prefix=prefix,
    )


def prefixed_rules(source: Source, prefix: str) -> list[Rule]:
    """The rules of a source for names with a prefix, and those for names without any."""
    return [*(replace(r, foreign=prefix + r.foreign) for r in source.rules), *source.outside]


def _config(
    source: Source, stored: files.Stored, prefix: str, rules: list[Rule]
) -> registry.AnyConfig:
    shapes = {
        name.removeprefix(prefix): shape
        for name, shape in stored.state.shapes.items()
        if name.startswith(prefix)
    }
    sizes = Sizes(shapes, stored.settings)
    config = None
    try:
        config = source.config(sizes)
    except ValueError as error:
        sizes.problems.append(str(error))
    if config is None or sizes.problems:
        names = list(stored.state)
        problems = [
            f"{name}: no rule for it"
            for name in names
            if all(matches(rule.foreign, name) is None for rule in rules)
        ]
        like = [other.name for other in SOURCES.values() if looks_like(other, names)]
        if like and source.name not in like:
            problems.append(f"the names are those of source {' or '.join(like)}")
        raise ConversionError.of(
            list(dict.fromkeys([*sizes.problems, *problems])), what=f"source {source.name}"
        )
    return config
