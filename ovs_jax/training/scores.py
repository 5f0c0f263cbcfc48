"""Scores during training: a state is judged on labelled images, like a trained model."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ovs_jax import parallel
from ovs_jax.data.benchmarks import open_benchmark
from ovs_jax.data.records import Source
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.segmenter import AnyProtocol, Segmenter
from ovs_jax.nn import functional
from ovs_jax.training.config import EvaluationConfig
from ovs_jax.training.loop import Scores
from ovs_jax.training.state import Plan, State

P = TypeVar("P", bound=AnyProtocol)


def open_judged(
    config: EvaluationConfig,
    *,
    benchmark: Callable[[str, str], tuple[str, P]],
    synthetic: Callable[[], tuple[Source, P]],
) -> tuple[Source, P] | None:
    """Labelled images and the protocol to judge by; None without evaluation.

    Args:
      config: which images.
      benchmark: name of a benchmark and protocol, from a preset and what it is for.
      synthetic: held-out scenes and their protocol.

    Raises:
      ValueError: an unknown protocol, or no folder for it.
      FileNotFoundError: the benchmark is missing.
    """
    if config.source == "none":
        return None
    if config.source == "synthetic":
        return synthetic()
    if not config.folder:
        raise ValueError("evaluation.folder: expected the folder of a benchmark, got none")
    preset, _, what = config.protocol.partition("/")
    name, rules = benchmark(preset, what)
    return open_benchmark(name, config.folder), rules


def make_scorer(
    config: EvaluationConfig,
    plan: Plan,
    *,
    judged: tuple[Source, AnyProtocol] | None,
    segmenter: Callable[[functional.Tree, Mesh], Segmenter],
) -> Callable[[State], Scores] | None:
    """A function that scores a state, or None without evaluation.

    Args:
      config: how many images, and how many at a time.
      plan: of the state.
      judged: from `open_judged`.
      segmenter: makes the model from ``{"params", "stats"}`` and the devices it runs on.
    """
    if judged is None:
        return None
    source, rules = judged

    def score(state: State) -> Scores:
        weights, mesh = {name: state[name] for name in ("params", "stats")}, plan.mesh
        if jax.process_count() > 1:
            # Every host judges images of its own on its own devices.
            weights = multihost_utils.process_allgather(weights, tiled=True)
            mesh = parallel.make_mesh((-1, 1, 1), devices=jax.local_devices())
        report = evaluate(
            segmenter(weights, mesh),
            source,
            rules,
            limit=config.limit or None,
            progress=False,
            batch_size=config.batch_size,
        )
        values = {name: value for name, value in report.figures().items() if np.isfinite(value)}
        return Scores(values, report.score)

    return score
