"""Sizes of a model, read off the shapes of its arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ovs_jax.conversion.rules import matches

HEAD_WIDTH = 64
"""Channels of an attention head in CLIP, BERT, DINO, the ImageNet models and GroupViT; shapes do
not tell it."""


@dataclass
class Sizes:
    """The shapes of a checkpoint's arrays and, of a Hugging Face folder, its ``config.json``.

    What is missing or does not fit is collected, so that all of it can be told at once.

    Attributes:
      shapes: by foreign name.
      settings: the content of ``config.json``; None where there is none.
      problems: what could not be read so far.
    """

    shapes: Mapping[str, tuple[int, ...]]
    settings: Mapping[str, Any] | None = None
    problems: list[str] = field(default_factory=list)

    def size(self, name: str, axis: int) -> int:
        """One side of an array; 1, and a problem, where the array or the axis is missing."""
        shape = self.shapes.get(name)
        if shape is None:
            self.problems.append(f"{name}: missing, and the model's size stands in it")
        elif not -len(shape) <= axis < len(shape):
            self.problems.append(f"{name}: got shape {shape}, expected an axis {axis}")
        else:
            return max(shape[axis], 1)
        return 1

    def has(self, template: str) -> bool:
        """Whether any name fits a template."""
        return any(matches(template, name) is not None for name in self.shapes)

    def count(self, template: str, *before: int) -> int:
        """How many there are of something numbered.

        Args:
          template: such as ``layers.{i}.blocks.{j}.*``.
          before: the numbers in the template before the one that is counted.

        Returns:
          One more than the largest number found.
        """
        found = [matches(template, name) for name in self.shapes]
        at = len(before)
        numbers = [n[at] for n in found if n is not None and n[:at] == before and len(n) > at]
        return max(numbers, default=-1) + 1

    def grid(self, cells: int, name: str) -> int:
        """The side of a square grid of positions."""
        side = round(cells**0.5)
        if side * side != cells:
            self.problems.append(f"{name}: got {cells} positions of patches, expected a square")
        return max(side, 1)

    def heads(self, width: int) -> int:
        """Attention heads of the usual size."""
        return max(width // HEAD_WIDTH, 1)

    def setting(self, path: str, default: Any) -> Any:
        """A field of ``config.json``, which may leave out what is usual.

        Args:
          path: names with dots between.
          default: what holds where the file does not say; the value must be of the same type.

        Returns:
          The value; the default, and a problem, where it is of another type.
        """
        value: Any = self.settings or {}
        for part in path.split("."):
            value = value[part] if isinstance(value, Mapping) and part in value else None
        if value is None:
            return default
        if type(default) is float and type(value) is int:
            return float(value)
        if type(value) is not type(default):
            expected = type(default).__name__
            self.problems.append(f"config.json: {path}: got {value!r}, expected {expected}")
            return default
        return value

    def require(self, path: str, expected: Any) -> None:
        """Notes a problem where ``config.json`` asks for something that the model cannot do."""
        value = self.setting(path, expected)
        if value != expected:
            self.problems.append(f"config.json: {path}: got {value!r}, expected {expected!r}")
