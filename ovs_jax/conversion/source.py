"""What is known of one kind of published checkpoint: everything is data but how sizes are read."""

from collections.abc import Callable
from dataclasses import dataclass

from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.models.registry import AnyConfig


@dataclass(frozen=True)
class Source:
    """One kind of published checkpoint.

    Attributes:
      name: what the command line calls it.
      summary: what it is, in a line.
      rules: from its names to our paths, without any prefix.
      config: our config of its sizes.
      marker: a name that every such checkpoint has; shows under which prefix its names stand.
      prefixes: what may stand before all names of the rules.
      outside: rules for names that have no prefix, all of them left out.
      folder: whether it is a Hugging Face folder, whose ``config.json`` is needed.
      tokenizer: the kind of its tokenizer, as `text.tokenizers.load_tokenizer` takes it; empty
        where it reads no text.
      licence: what its publishers ask.
      absent: our paths that it has no place for, as a pattern, and the reason.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...]
    config: Callable[[Sizes], AnyConfig]
    marker: str
    licence: str
    prefixes: tuple[str, ...] = ("",)
    outside: tuple[Rule, ...] = ()
    folder: bool = False
    tokenizer: str = ""
    absent: tuple[tuple[str, str], ...] = ()
