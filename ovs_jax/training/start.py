"""How a run starts: it resumes, else takes other weights, else starts from scratch."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import grain
import numpy as np

from ovs_jax import parallel
from ovs_jax.nn import functional
from ovs_jax.training import checkpoint, pretrained
from ovs_jax.training import state as states
from ovs_jax.training.resume import Checkpoints
from ovs_jax.training.state import Plan, State

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitConfig:
    """Weights to start from.

    Attributes:
      checkpoint: the folder of another run, or of one of its steps, or a model that ``ovs-jax
        convert`` made; empty to start from scratch.
      image: an image encoder to start from, ``dino:PATH`` or ``timm-vit:PATH``: a published file, a
        Hugging Face folder or what ``ovs-jax convert`` made of one. The rest starts from scratch.
      text: a text encoder to start from, ``bert:PATH``, ``roberta:PATH`` or ``clip:PATH``.
      rename: ordered pairs of a pattern over this model's whole paths and the path in the
        checkpoint, in the notation of ``re.sub``. Paths that no pattern matches keep their name.
      fresh: patterns of paths that may start from scratch because the checkpoint lacks them (or
        holds another shape). Any other path that cannot be filled is an error.
      kernels: how dense layers are drawn from scratch: ``published`` with a standard deviation of
        0.02, ``fan_in`` with 1 / sqrt(inputs), which narrow models need to learn in minutes.
    """

    checkpoint: str = ""
    image: str = ""
    text: str = ""
    rename: tuple[tuple[str, str], ...] = ()
    fresh: tuple[str, ...] = ()
    kernels: Literal["published", "fan_in"] = "published"

    def __post_init__(self) -> None:
        if self.checkpoint and (self.image or self.text):
            raise ValueError(
                "init: expected either checkpoint (a whole model) or image and text, the other "
                f"empty; got checkpoint={self.checkpoint!r}, image={self.image!r} and "
                f"text={self.text!r}"
            )


@dataclass(frozen=True)
class Transfer:
    """What came of taking weights over.

    Attributes:
      weights: ``{"params", "stats"}`` with what was found.
      renamed: our paths that were filled from another path.
      fresh: our paths that were not filled, as allowed.
      unused: paths of the checkpoint that nothing was filled from.
    """

    weights: functional.Tree
    renamed: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def report(self) -> str:
        """One line for the log."""
        filled = len(functional.paths(self.weights))
        line = f"filled {filled} arrays ({len(self.renamed)} of them under another name)"
        for name, paths in (("from scratch", self.fresh), ("unused", self.unused)):
            if paths:
                line += f" | {name}: {checkpoint.some(list(paths), 4)}"
        return line


def transfer(
    wanted: functional.Tree, stored: functional.Tree, config: InitConfig, *, source: str
) -> Transfer:
    """Picks the stored arrays that a model needs.

    Args:
      wanted: ``{"params", "stats"}`` of shapes.
      stored: the same of a checkpoint, as numpy arrays.
      config: the rules; patterns see paths without the leading ``params`` or ``stats``.
      source: what to call the checkpoint.

    Returns:
      The arrays and a report.

    Raises:
      ValueError: paths cannot be filled and are not allowed to start from scratch.
    """
    offered, found, missing = functional.paths(stored), {}, []
    sources = {path: _source(path, config.rename) for path in functional.paths(wanted)}
    for path, leaf in functional.paths(wanted).items():
        array = offered.get(sources[path])
        if array is not None and array.shape == leaf.shape:
            found[path] = np.asarray(array, leaf.dtype)
        else:
            held = "absent" if array is None else f"{array.shape} there"
            missing.append((path, f"{_bare(path)} {leaf.shape} ({held})"))
    allowed = functional.match(
        [_bare(path) for path, _ in missing], [(pattern, True) for pattern in config.fresh], False
    )
    refused = [text for path, text in missing if not allowed[_bare(path)]]
    if refused:
        raise ValueError(
            f"init.checkpoint: {source} cannot fill {checkpoint.some(refused)}. Map them with "
            "init.rename, or allow them to start from scratch with init.fresh"
        )
    used = {sources[path] for path in found}
    return Transfer(
        weights=functional.nest(found),
        renamed=tuple(_bare(path) for path in found if sources[path] != path),
        fresh=tuple(_bare(path) for path, _ in missing),
        unused=tuple(_bare(path) for path in offered if path not in used),
    )


def _bare(path: str) -> str:
    return path.split("/", 1)[1]


def _source(path: str, rename: Sequence[tuple[str, str]]) -> str:
    part, name = path.split("/", 1)
    for pattern, replacement in rename:
        found = functional.expression(pattern).fullmatch(name)
        if found is None:
            continue
        try:
            return f"{part}/{found.expand(replacement)}"
        except (re.error, IndexError) as error:
            raise ValueError(
                f"init.rename: '{replacement}' does not fit the pattern '{pattern}' ({error})"
            ) from error
    return path


def start(
    plan: Plan,
    checkpoints: Checkpoints,
    iterator: grain.DatasetIterator,
    *,
    seed: int,
    init: InitConfig,
    heads: tuple[int, ...] = (),
) -> State:
    """Gives a run its first state and puts the data iterator where it belongs.

    Args:
      plan: shapes and layout of the state.
      checkpoints: of this run; if one is usable the run resumes there.
      iterator: the data iterator.
      seed: of freshly drawn parameters.
      init: other weights, used when there is nothing to resume.
      heads: of the model's image encoder, by stage; what ``init.image`` reports on.

    Returns:
      The state.

    Raises:
      FileNotFoundError: ``init.checkpoint``, ``init.image`` or ``init.text`` names nothing.
      ValueError: a checkpoint does not fit the model.
    """
    resumed = checkpoints.restore(plan, iterator)
    if resumed is not None:
        logger.info("resumed at step %d from %s", int(resumed["step"]), checkpoints.folder)
        return resumed
    if init.image or init.text:
        return _fill(plan, _parts(plan, init, heads=heads), seed=seed, init=init)
    if not init.checkpoint:
        logger.info("started from scratch with seed %d", seed)
        return states.scratch(plan, seed, kernels=init.kernels)
    other = checkpoint.read(init.checkpoint, field="init.checkpoint")
    wanted = {name: plan.shapes[name] for name in ("params", "stats")}
    taken = transfer(wanted, other.weights, init, source=str(other.folder))
    logger.info("initialised from %s: %s", other.folder, taken.report())
    return _fill(plan, taken, seed=seed, init=init)


def _parts(plan: Plan, init: InitConfig, *, heads: tuple[int, ...]) -> Transfer:
    """Weights of published encoders, and what they leave to start from scratch."""
    wanted = functional.paths(plan.shapes["params"])
    found: dict[str, np.ndarray] = {}
    unused: tuple[str, ...] = ()
    for field, spec in (("init.image", init.image), ("init.text", init.text)):
        if not spec:
            continue
        part = (
            pretrained.image_part(spec, wanted, heads=heads)
            if field == "init.image"
            else pretrained.text_part(spec, wanted)
        )
        found |= part.arrays
        unused += part.unused
        notes = "".join(f" | {note}" for note in part.notes)
        left = f" | unused: {checkpoint.some(list(part.unused), 4)}" if part.unused else ""
        logger.info("%s: %s fills %d arrays%s%s", field, spec, len(part.arrays), notes, left)
    fresh = tuple(path for path in wanted if path not in found)
    fresh += tuple(functional.paths(plan.shapes["stats"]))
    logger.info("from scratch with seed-drawn values: %d arrays", len(fresh))
    weights = functional.nest({f"params/{path}": array for path, array in found.items()})
    return Transfer(weights=weights, renamed=(), fresh=fresh, unused=unused)


def _fill(plan: Plan, taken: Transfer, *, seed: int, init: InitConfig) -> State:
    """A first state with the weights that were found, and drawn ones where that is allowed."""
    layout = functional.paths({name: plan.shardings[name] for name in ("params", "stats")})
    found = functional.paths(taken.weights)
    weights = parallel.place(found, {path: layout[path] for path in found})
    if taken.fresh:
        drawn = states.scratch(plan, seed, kernels=init.kernels)
        weights = functional.paths({name: drawn[name] for name in ("params", "stats")}) | weights
    return states.begin(plan, {"params": {}, "stats": {}} | functional.nest(weights))
