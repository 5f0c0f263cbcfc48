"""Sizes of a model, read off the shapes of its arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ovs_jax.conversion.rules import ConversionError, matches

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

    def setting(self, path: str, kind: type, *, expected: Any = None) -> Any:
        """A field of ``config.json``.

        Args:
          path: names with dots between.
          kind: what the value is.
          expected: the only value that is supported, if there is only one.

        Returns:
          The value; an empty one of the kind, and a problem, where it cannot be used.
        """
        value: Any = self.settings or {}
        for part in path.split("."):
            value = value[part] if isinstance(value, Mapping) and part in value else None
        if kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, kind):
            if value is None and expected is not None:
                return expected  # older files leave out what is usual
            self.problems.append(f"config.json: {path}: got {value!r}, expected {kind.__name__}")
            return [1] if kind is list else kind(1)
        if expected is not None and value != expected:
            self.problems.append(f"config.json: {path}: got {value!r}, expected {expected!r}")
        return value

    def check(self) -> None:
        """Raises what was collected.

        Raises:
          ConversionError: something was missing.
        """
        if self.problems:
            raise ConversionError.of(list(dict.fromkeys(self.problems)), what="the checkpoint")
