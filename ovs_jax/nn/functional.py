"""The one seam to Flax: modules in, plain nested dicts of arrays out.

Everywhere else a model is a ``Static`` (what the module is) plus dicts of arrays (what it holds). A
parameter's path, ``image_encoder/stages/0/blocks/1/attention/key/kernel``, is a public name:
freezing, weight decay, sharding, conversion and checkpoints all speak of paths, matched by regular
expressions.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

Tree = dict[str, Any]
"""A nested dict with string keys and arrays as leaves."""
Static = Any
"""What remains of a module without its arrays; hashable and constant for a run."""
T = TypeVar("T")


def init(build: Callable[[nnx.Rngs], nnx.Module], key: jax.Array) -> tuple[Static, Tree, Tree]:
    """Builds a module and takes it apart.

    Args:
      build: makes the module from its random streams.
      key: the key from which all initial values are drawn.

    Returns:
      The static part, the parameters and the batch statistics.
    """
    static, params, stats = nnx.split(build(nnx.Rngs(key)), nnx.Param, nnx.BatchStat)
    return static, _named(nnx.to_pure_dict(params)), _named(nnx.to_pure_dict(stats))


def abstract(build: Callable[[nnx.Rngs], nnx.Module]) -> tuple[Static, Tree, Tree]:
    """Like `init`, with shapes and dtypes in place of arrays; nothing is computed."""
    kept: list[Static] = []

    def arrays(key: jax.Array) -> tuple[Tree, Tree]:
        static, params, stats = init(build, key)
        kept.append(static)
        return params, stats

    params, stats = jax.eval_shape(arrays, jax.random.key(0))
    return kept[0], params, stats


def bind(
    static: Static, params: Tree, stats: Tree, *, train: bool = False, execution: Any = None
) -> Any:
    """Puts a module together inside a traced function.

    Args:
      static: from `init`.
      params: the parameters to use, values or tracers.
      stats: the batch statistics to start from.
      train: whether BatchNorm uses (and records) the statistics of the batch it is given.
      execution: how layers are run, an `nn.execution.Execution`; its defaults if not given.

    Returns:
      A module that lives as long as the trace. Read what it recorded with `batch_statistics`.
    """
    arrays = jax.tree.map(jnp.asarray, (params, stats))  # statistics are assigned to in place
    module = nnx.merge(static, *map(_indexed, arrays))
    # A model with linear projectors has no BatchNorm to tell.
    return nnx.view(
        module, raise_if_not_found=False, use_batch_statistics=train, execution=execution
    )


def batch_statistics(module: nnx.Module) -> Tree:
    """The batch statistics of a bound module as they are now."""
    return _named(nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)))


def stack(modules: Sequence[nnx.Module]) -> tuple[Static, Any]:
    """Modules that differ in their arrays only, as one.

    Args:
      modules: at least one.

    Returns:
      What they have in common, and their arrays with a new first axis; see `unstack`.

    Raises:
      ValueError: they differ in more.
    """
    statics, states = zip(*map(nnx.split, modules), strict=True)
    if any(static != statics[0] for static in statics):
        raise ValueError("modules of one loop: expected equal ones, got different sizes or rates")
    return statics[0], jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def unstack(static: Static, arrays: Any) -> Any:
    """One of the modules of `stack`, from its part of the arrays."""
    return nnx.merge(static, arrays)


def _named(tree: Mapping[Any, Any]) -> Tree:
    return {
        str(key): _named(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
    }


def _indexed(tree: Mapping[str, Any]) -> dict[Any, Any]:
    return {
        int(key) if key.isdigit() else key: _indexed(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
    }


def paths(tree: Tree) -> dict[str, Any]:
    """Flattens a tree to ``{"blocks/0/attention/key/kernel": leaf}``, in the tree's order."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}/{rest}": leaf for rest, leaf in paths(dict(value)).items()}
        else:
            flat[key] = value
    return flat


def nest(flat: Mapping[str, Any]) -> Tree:
    """The inverse of `paths`."""
    tree: Tree = {}
    for path, leaf in flat.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = leaf
    return tree


def match(names: Iterable[str], rules: Iterable[tuple[str, T]], default: T) -> dict[str, T]:
    """Gives every path the value of the first rule whose pattern matches the whole path.

    Args:
      names: paths, as in `paths`.
      rules: ordered pairs of a regular expression and a value.
      default: for paths that no rule matches.

    Returns:
      One value a path, in the order of `names`.

    Raises:
      ValueError: a pattern is no regular expression.
    """
    compiled = [(expression(pattern), value) for pattern, value in rules]
    return {
        name: next((value for pattern, value in compiled if pattern.fullmatch(name)), default)
        for name in names
    }


def expression(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern over paths.

    Raises:
      ValueError: it is no regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"pattern '{pattern}': expected a regular expression over paths ({error})"
        ) from error


def count(tree: Tree) -> int:
    """The number of scalars in a tree of arrays (or of shapes)."""
    return sum(leaf.size for leaf in paths(tree).values())
