"""Scores during training from captions: mean IoU on labelled images."""

from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

from ovs_jax import parallel
from ovs_jax.data.benchmarks import open_benchmark
from ovs_jax.data.records import Source
from ovs_jax.data.synthetic import SyntheticWorld
from ovs_jax.evaluation.evaluator import evaluate
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.protocols import Protocol, protocol, synthetic_protocol
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.training.config import HELD_OUT, DataConfig, EvaluationConfig
from ovs_jax.training.loop import Scores
from ovs_jax.training.state import Plan, State


def open_labelled(config: EvaluationConfig, data: DataConfig) -> tuple[Source, Protocol] | None:
    """Labelled images and the protocol to judge by; None without evaluation."""
    if config.source == "none":
        return None
    if config.source == "benchmark":
        if not config.folder:
            raise ValueError("evaluation.folder: expected the folder of a benchmark, got none")
        preset, _, dataset = config.protocol.partition("/")
        rules = protocol(preset, dataset)
        return open_benchmark(dataset, config.folder), rules
    world = SyntheticWorld(
        data.world, split="validation", seed=data.world_seed, length=config.limit or HELD_OUT
    )
    scenes = world.segmentation("all")
    return scenes, synthetic_protocol(scenes.class_set, size=data.world.size)


def make_scorer(
    config: EvaluationConfig, data: DataConfig, plan: Plan, tokenizer: Tokenizer
) -> Callable[[State], Scores] | None:
    """A function that scores a state by mean IoU, or None without evaluation."""
    benchmark = open_labelled(config, data)
    if benchmark is None:
        return None
    source, rules = benchmark

    def score(state: State) -> Scores:
        params, stats, mesh = state["params"], state["stats"], plan.mesh
        if jax.process_count() > 1:
            # Every host judges images of its own on its own devices.
            params, stats = multihost_utils.process_allgather((params, stats), tiled=True)
            mesh = parallel.make_mesh((-1, 1, 1), devices=jax.local_devices())
        segmenter = GroupSegmenter(
            plan.static,
            params,
            stats,
            tokenizer=tokenizer,
            text_length=data.text_length,
            mesh=mesh,
        )
        report = evaluate(
            segmenter,
            source,
            rules,
            limit=config.limit or None,
            progress=False,
            batch_size=config.batch_size,
        )
        return Scores(report.figures(), report.score)

    return score
