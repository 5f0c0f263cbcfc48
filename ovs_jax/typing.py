"""The shape glossary and the types that every part of the package shares.

Shapes stand in signatures with jaxtyping, ``x: Float[Array, "b n d"]``, and are checked in tests
only. One letter means one thing everywhere:

=======  =====================================================================================
``b``    batch: images, or pairs of image and caption
``h w``  height and width in pixels; ``rows cols`` in patches
``n``    image tokens (patches, or the groups of an earlier stage); ``m`` any other tokens
``g``    groups (group tokens or output groups)
``d``    width of a representation; ``e`` width of the shared image-text embedding
``l``    text tokens, padding included
``k``    prompts of one caption, or templates of one class
``c``    classes
=======  =====================================================================================

This module imports neither JAX nor Flax: input workers use it too.
"""

from dataclasses import dataclass
from typing import Any

Batch = dict[str, Any]
"""A nested dict of arrays with the batch as first axis. Texts are ``{"ids": int32, "mask": bool}``.

Keys: ``image`` (b h w 3, RGB as uint8, or normalised floats), ``caption`` (b l), ``prompts``
(b k l), ``question`` (b l), ``answer`` (b l), ``cross_image`` (like ``image``), ``cross_entity``
(b l). An objective names the ones it needs.
"""


@dataclass(frozen=True)
class ClassSet:
    """An ordered list of class names, perhaps with the background first.

    Attributes:
      name: what tables and files call it, such as ``voc21``.
      names: one name a label id. With ``has_background`` the first is the background, which is
        never described in words but found by a threshold.
      has_background: whether label 0 is the background.
    """

    name: str
    names: tuple[str, ...]
    has_background: bool = False

    def __post_init__(self) -> None:
        if not self.foreground:
            raise ValueError(f"class list '{self.name}': expected at least one class, got none")
        empty = [i for i, name in enumerate(self.names) if not name.strip()]
        if empty:
            raise ValueError(f"class list '{self.name}': the names at {empty} are empty")
        clean = [name.strip().lower() for name in self.names]
        twice = sorted({name for name in clean if clean.count(name) > 1})
        if twice:
            raise ValueError(
                f"class list '{self.name}': expected every class once, got {twice} twice"
            )

    @property
    def foreground(self) -> tuple[str, ...]:
        """The names that are described in words."""
        return self.names[1:] if self.has_background else self.names

    def __len__(self) -> int:
        return len(self.names)
