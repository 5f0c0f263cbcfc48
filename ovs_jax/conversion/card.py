"""The page that travels with converted weights: what they are, whose, and what became of them."""

from collections import Counter

from ovs_jax.conversion.convert import Conversion
from ovs_jax.conversion.rules import Entry
from ovs_jax.models import registry
from ovs_jax.nn import functional

CARD = "MODEL_CARD.md"
UNTOUCHED = "same"
"""The transform that changes nothing."""


def summary(conversion: Conversion) -> dict[str, int]:
    """How many arrays of the source were mapped as they are, transformed, ignored; and missing.

    ``missing`` is always 0: with a leaf that nothing fills there is no conversion.
    """
    counts = Counter(_fate(entry) for entry in conversion.entries)
    return {name: counts[name] for name in ("mapped", "transformed", "ignored")} | {"missing": 0}


def model_card(conversion: Conversion, *, path: str, tokenizer: str) -> str:
    """Markdown: source, checksum, licence, size, and a row for every array.

    Args:
      conversion: what was converted.
      path: where the source was, as the user wrote it.
      tokenizer: the tokenizer's kind, or why there is none.
    """
    name = registry.model_name(conversion.config)
    parameters = functional.count(conversion.params)
    counts = ", ".join(f"{count} {fate}" for fate, count in summary(conversion).items())
    lines = [
        f"# {name}, converted from {conversion.source.name}",
        "",
        f"* Source: {conversion.source.summary}, `{path}`",
        *(f"* `{f.name}`: {f.size} bytes, SHA-256 `{f.sha256}`" for f in conversion.files),
        f"* Licence: {conversion.source.licence}",
        f"* Parameters: {parameters:,}",
        f"* Tokenizer: {tokenizer}",
        f"* Arrays: {counts}",
    ]
    if conversion.beside:
        lines.append(f"* Left out beside the weights: {', '.join(conversion.beside)}")
    if conversion.prefix:
        lines.append(f"* Prefix of all names: `{conversion.prefix}`")
    lines += [
        "",
        "Attention heads do not show in the shapes of a file without `config.json`; they follow "
        "the published models: see `model` in the checkpoint's metadata.",
        "",
        "## Every array of the source",
        "",
        "| name | shape | dtype | fate | where or why |",
        "|---|---|---|---|---|",
        *(_row(entry) for entry in conversion.entries),
    ]
    return "\n".join(lines) + "\n"


def _fate(entry: Entry) -> str:
    if not entry.paths:
        return "ignored"
    return "mapped" if entry.transform == UNTOUCHED else "transformed"


def _row(entry: Entry) -> str:
    shape = " x ".join(map(str, entry.shape)) or "scalar"
    fate = _fate(entry)
    fate = f"{fate} ({entry.transform})" if fate == "transformed" else fate
    where = ", ".join(f"`{path}`" for path in entry.paths) or f"{entry.reason}; kept beside"
    return f"| `{entry.name}` | {shape} | {entry.dtype} | {fate} | {where} |"
