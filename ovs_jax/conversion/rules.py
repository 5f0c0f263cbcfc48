"""A rule list between foreign parameter names and our paths, total both ways.

A rule is data: a name template, the paths it fills and a transform. ``{i}`` and ``{j}`` stand for
numbers. Every foreign name is consumed by a rule or ignored with a reason, every leaf of ours is
filled; whatever is left over is reported at once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ovs_jax.nn.functional import Tree, nest, paths


@dataclass(frozen=True)
class Transform:
    """How one foreign array becomes ours, and back.

    Attributes:
      kind: ``same``, ``transpose`` (dense kernels), ``patches`` (a strided convolution as a matrix
        over row, column and colour), ``convolution`` (kernels over row, column, inputs and
        outputs), ``first`` (a leading axis of one, which some published files lack) or ``last`` (a
        transposed dense kernel with a trailing axis of one, from a 1x1 convolution).
    """

    kind: str = "same"

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Foreign to ours.

        Raises:
          ValueError: an array with other axes than the kind asks for.
        """
        match self.kind:
            case "transpose":
                return array.T
            case "patches":
                return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])
            case "convolution":
                return array.transpose(2, 3, 1, 0)
            case "first":
                return array.squeeze(0) if array.ndim == 3 else array
            case "last":
                return array.squeeze(-1).T
        return array

    def invert(self, array: np.ndarray) -> np.ndarray:
        """Ours to foreign."""
        match self.kind:
            case "transpose":
                return array.T
            case "patches":
                size = round((array.shape[0] // 3) ** 0.5)
                return array.reshape(size, size, 3, -1).transpose(3, 2, 0, 1)
            case "convolution":
                return array.transpose(3, 2, 0, 1)
            case "first":
                return array[None]
            case "last":
                return array.T[..., None]
        return array


@dataclass(frozen=True)
class Rule:
    """One foreign template and the paths of ours that it fills.

    Attributes:
      foreign: such as ``img_encoder.layers.{i}.blocks.{j}.attn.qkv.weight``.
      ours: one path template, or three where the foreign rows hold query, key and value in order;
        none where the name is ignored.
      transform: applied to every part.
      reason: why the name is ignored.
    """

    foreign: str
    ours: tuple[str, ...] = ()
    transform: Transform = Transform()
    reason: str = ""


class ConversionError(ValueError):
    """Everything that did not fit, in one message."""


@dataclass(frozen=True)
class Converted:
    """A converted state.

    Attributes:
      params: our parameters.
      stats: our batch statistics.
      ignored: the foreign names that were left out, with the reason.
    """

    params: Tree
    stats: Tree
    ignored: dict[str, str]


def to_ours(
    state: Mapping[str, np.ndarray], rules: Sequence[Rule], *, params: Tree, stats: Tree
) -> Converted:
    """Converts a foreign state dict.

    Args:
      state: foreign names and arrays.
      rules: in order; the first that matches a name applies.
      params: the shapes expected, such as `functional.abstract` gives.
      stats: likewise, of the batch statistics.

    Returns:
      Our trees of numpy arrays, and what was left out.

    Raises:
      ConversionError: unknown, missing or misshapen arrays; all of them are listed.
    """
    found: dict[str, np.ndarray] = {}
    ignored: dict[str, str] = {}
    problems: list[str] = []
    for name, array in state.items():
        rule, numbers = _find(name, [(rule, rule.foreign) for rule in rules])
        if rule is None:
            problems.append(f"{name}: no rule for it")
        elif not rule.ours:
            ignored[name] = rule.reason
        else:
            try:
                parts = np.split(array, len(rule.ours)) if len(rule.ours) > 1 else [array]
                for template, part in zip(rule.ours, parts, strict=True):
                    found[_fill(template, numbers)] = rule.transform.apply(part)
            except ValueError as error:
                problems.append(f"{name}: shape {array.shape} does not fit its rule: {error}")
    expected = paths(params) | paths(stats)
    for path, leaf in expected.items():
        if path not in found:
            problems.append(f"{path}: nothing fills it")
        elif found[path].shape != leaf.shape:
            problems.append(f"{path}: got shape {found[path].shape}, expected {leaf.shape}")
    problems += [f"{path}: the model has no such leaf" for path in found if path not in expected]
    if problems:
        raise ConversionError(
            f"{len(problems)} problems in the conversion:\n" + "\n".join(problems)
        )
    return Converted(
        params=nest({path: np.asarray(found[path], order="C") for path in paths(params)}),
        stats=nest({path: np.asarray(found[path], order="C") for path in paths(stats)}),
        ignored=ignored,
    )


def to_foreign(tree: Tree, rules: Sequence[Rule]) -> dict[str, np.ndarray]:
    """Converts a tree of ours (parameters, statistics or gradients) to foreign names.

    A fused foreign array is made only if all its parts are in the tree.

    Args:
      tree: a nested dict, of the whole model or of a part of it.
      rules: as in `to_ours`.

    Returns:
      Foreign names and arrays.

    Raises:
      ConversionError: a path that no rule knows.
    """
    leaves = {path: np.asarray(leaf) for path, leaf in paths(tree).items()}
    targets = [(rule, template) for rule in rules for template in rule.ours]
    state: dict[str, np.ndarray] = {}
    problems = []
    for path in leaves:
        rule, numbers = _find(path, targets)
        if rule is None:
            problems.append(f"{path}: no rule for it")
            continue
        name = _fill(rule.foreign, numbers)
        siblings = [_fill(template, numbers) for template in rule.ours]
        if name not in state and all(sibling in leaves for sibling in siblings):
            parts = [rule.transform.invert(leaves[sibling]) for sibling in siblings]
            state[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
    if problems:
        raise ConversionError(
            f"{len(problems)} problems in the conversion:\n" + "\n".join(problems)
        )
    return state


def _find(name: str, candidates: Sequence[tuple[Rule, str]]) -> tuple[Rule | None, dict[str, str]]:
    for rule, template in candidates:
        found = _pattern(template).fullmatch(name)
        if found:
            return rule, found.groupdict()
    return None, {}


_PATTERNS: dict[str, re.Pattern[str]] = {}


def _pattern(template: str) -> re.Pattern[str]:
    if template not in _PATTERNS:
        escaped = re.escape(template).replace(r"\*", ".*")
        _PATTERNS[template] = re.compile(re.sub(r"\\{(\w)\\}", r"(?P<\1>\\d+)", escaped))
    return _PATTERNS[template]


def _fill(template: str, numbers: Mapping[str, str]) -> str:
    return template.format(**numbers)
