"""What a checkpoint is on disk, and how a trained model is read from it.

A run's folder holds ``checkpoints/<step>/`` with the parts ``state`` (every array), ``data`` (the
position of the data iterator, one file a process), ``metadata`` (JSON: the resolved config, the
model's config, the tokenizer, package versions) and ``metrics`` (the score, if it was evaluated).
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ovs_jax.models import registry
from ovs_jax.nn import functional

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a damaged checkpoint raises, beside what `is_damage` tells."""


def is_damage(error: Exception) -> bool:
    """Whether an error says that a checkpoint cannot be read.

    Orbax wraps what it meets in the file of an array in a bare ``Exception``. Other errors, such as
    a device without memory, say nothing about the checkpoint.
    """
    return isinstance(error, UNREADABLE) or type(error) is Exception


@dataclass(frozen=True)
class Stored:
    """A step's folder, read.

    Attributes:
      folder: where.
      metadata: the JSON part: ``config``, ``model``, ``tokenizer``, ``versions``, ``step``.
      weights: ``{"params", "stats"}`` as numpy arrays.
    """

    folder: Path
    metadata: dict[str, Any]
    weights: functional.Tree


@dataclass(frozen=True)
class LoadedModel:
    """A model as it was trained.

    Attributes:
      config: the resolved config of the run.
      model_config: the model's frozen config, for ``registry.build``.
      params: nested dict of parameters.
      stats: nested dict of batch statistics.
      tokenizer: what ``ovs_jax.text.tokenizers`` makes the tokenizer from.
      step: optimizer steps done.
      folder: the step's folder.
    """

    config: dict[str, Any]
    model_config: Any
    params: functional.Tree
    stats: functional.Tree
    tokenizer: dict[str, Any]
    step: int
    folder: Path


def load_model(path: str | Path) -> LoadedModel:
    """Loads a trained model.

    Args:
      path: a run's folder, of which the best checkpoint is taken (the newest if none was
        evaluated), or one step's folder.

    Returns:
      The model's config, its arrays (on the default device) and its tokenizer.

    Raises:
      FileNotFoundError: there is no usable checkpoint at the path.
      ValueError: the arrays do not fit the model's config.
    """
    stored = read(path)
    try:
        config = registry.from_dict(stored.metadata["model"])
    except ValueError as error:
        raise ValueError(f"checkpoint {stored.folder}: {error}") from error
    _, params, stats = functional.abstract(registry.build(config))
    compare(
        named_leaves(stored.weights),
        named_leaves({"params": params, "stats": stats}),
        stored.folder,
    )
    arrays = jax.device_put(stored.weights)
    return LoadedModel(
        config=stored.metadata["config"],
        model_config=config,
        params=arrays["params"],
        stats=arrays["stats"],
        tokenizer=stored.metadata["tokenizer"],
        step=stored.metadata["step"],
        folder=stored.folder,
    )


def write_model(folder: Path, weights: functional.Tree, *, description: Mapping[str, Any]) -> None:
    """Writes weights that no run of ours has trained, as a checkpoint at step 0.

    Args:
      folder: gets ``checkpoints/0/``.
      weights: ``{"params", "stats"}``.
      description: JSON values: ``config``, ``model``, ``tokenizer`` (empty if there is none).
    """
    step = folder.absolute() / FOLDER / "0"
    # A file for each array: the one database that Orbax makes by default takes half as much memory
    # again to write, and weights may be large beside the machine that converts them.
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(step / "state", args=ocp.args.PyTreeSave(weights))
    (step / "metadata").mkdir()
    text = json.dumps({**description, "step": 0}, indent=1)
    (step / "metadata" / "metadata").write_text(text, encoding="utf-8")


def read(path: str | Path, *, field: str = "checkpoint") -> Stored:
    """Reads the weights of a run or of one of its steps, whatever the model.

    Steps that cannot be read are logged and passed over.

    Args:
      path: as in `load_model`.
      field: what to call the path in an error.

    Returns:
      The folder it was, its metadata and weights.

    Raises:
      FileNotFoundError: there is no usable checkpoint at the path.
    """
    for folder in _candidates(Path(path)):
        try:
            return Stored(folder, read_metadata(folder), _read_weights(folder))
        except Exception as error:
            if not is_damage(error):
                raise
            logger.warning("checkpoint %s is unusable and is passed over: %s", folder, error)
    raise FileNotFoundError(
        f"{field}: {path} holds no usable checkpoint; expected a run's folder with "
        f"{FOLDER}/<step>/ in it, or one such step's folder"
    )


def peek(path: str | Path) -> dict[str, Any] | None:
    """The metadata of the checkpoint that `read` takes, without its weights; None of none."""
    for folder in _candidates(Path(path)):
        try:
            return read_metadata(folder)
        except UNREADABLE:
            continue
    return None


def _candidates(path: Path) -> Iterator[Path]:
    """Step folders from the best to the oldest."""
    path = path.absolute()
    if (path / "state").is_dir():
        yield path
        return
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    steps = [f for f in folder.iterdir() if f.name.isdigit()] if folder.is_dir() else []
    yield from sorted(steps, key=lambda step: (_stored_score(step), int(step.name)), reverse=True)


def _stored_score(folder: Path) -> float:
    try:
        return score_of(json.loads((folder / "metrics" / "metrics").read_text()))
    except (OSError, ValueError):
        return -math.inf


def score_of(metrics: Mapping[str, float]) -> float:
    """What checkpoints are ranked by; one that was not evaluated is worse than any other."""
    return metrics.get("score", -math.inf)


def read_metadata(folder: Path) -> dict[str, Any]:
    """The JSON part of a step's folder.

    Raises:
      OSError: it is not there.
      ValueError: it is not JSON, or not that of a run.
    """
    metadata = json.loads((folder / "metadata" / "metadata").read_text())
    missing = [name for name in ("config", "model", "tokenizer", "step") if name not in metadata]
    if missing:
        raise ValueError(f"its metadata misses {missing}")
    return metadata


def read_shapes(folder: Path) -> dict[str, Any]:
    """Path to shape and dtype of every array in a step's folder."""
    if not (folder / "state").is_dir():
        raise FileNotFoundError(f"{folder / 'state'} is missing")
    metadata = ocp.PyTreeCheckpointHandler().metadata(epath.Path(folder / "state"))
    return named_leaves(metadata.tree)


def read_state(folder: Path) -> dict[str, np.ndarray]:
    """Path to value of every array in a step's folder, optimizer and step included.

    Raises:
      FileNotFoundError: it holds no arrays.
    """
    state = epath.Path(folder / "state")
    if not state.is_dir():
        raise FileNotFoundError(f"{state} is missing")
    handler = ocp.PyTreeCheckpointHandler()
    as_numpy = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(state).tree
    )
    return named_leaves(handler.restore(state, args=ocp.args.PyTreeRestore(restore_args=as_numpy)))


def _read_weights(folder: Path) -> functional.Tree:
    wanted = functional.nest(
        {
            path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            for path, leaf in read_shapes(folder).items()
            if path.split("/")[0] in ("params", "stats")
        }
    )
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    arrays = ocp.PyTreeCheckpointHandler().restore(
        epath.Path(folder / "state"),
        args=ocp.args.PyTreeRestore(item=wanted, restore_args=as_numpy, partial_restore=True),
    )
    return {"params": {}, "stats": {}} | arrays


def named_leaves(tree: Any) -> dict[str, Any]:
    """Flattens any tree to paths; fields of named tuples and indices of lists count as keys."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(_key_name(key) for key in keys): leaf for keys, leaf in leaves}


def _key_name(key: Any) -> str:
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))


def compare(stored: Mapping[str, Any], wanted: Mapping[str, Any], source: Path) -> None:
    """Checks that a checkpoint holds what a model needs.

    Args:
      stored: path to array or shape, from the checkpoint.
      wanted: the same, of the model.
      source: the checkpoint's folder.

    Raises:
      ValueError: paths or shapes differ; the message lists where.
    """
    differences = [
        *(f"{path} {_shape(stored[path])} only there" for path in stored if path not in wanted),
        *(f"{path} {_shape(wanted[path])} not there" for path in wanted if path not in stored),
        *(
            f"{path} {_shape(stored[path])} there, expected {_shape(leaf)}"
            for path, leaf in wanted.items()
            if path in stored and _shape(stored[path]) != _shape(leaf)
        ),
    ]
    if differences:
        raise ValueError(
            f"checkpoint {source} is of another architecture than the config: {some(differences)}"
        )


def some(items: list[str], limit: int = 8) -> str:
    """The first few of a list for a message, and how many more there are."""
    more = f"; and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + more


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(leaf.shape)
