"""GroupViT here and in PyTorch (``transformers``), one after the other in one process.

Both have the same sizes, random weights and the same random inputs, in float32 on the CPU.

Training step: forward, contrastive loss, backward, clipping at norm 5, AdamW. Inference: projected
image and group embeddings, and the group maps on the patches. What differs: here the step is one
compiled program, there it is eager (as installed) with the fused AdamW. The loss is the
contrastive one alone because the other has no multi-label loss. Here the step also computes the
metrics of the log, and the maps of both stages are multiplied in the program, there after it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import optax

from benchmark.torch_groupvit import RATE, Runs, TorchGroupViT, inputs
from ovs_jax import parallel
from ovs_jax.models.registry import build, model_config
from ovs_jax.nn import functional
from ovs_jax.training import flops
from ovs_jax.training import state as states
from ovs_jax.training.objectives import CaptionObjective
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.step import StepConfig, make_step

MISSING = (
    "--against-torch: {name} is not installed here; in an environment with this package, "
    "pip install torch==2.13.0 transformers"
)


@dataclass(frozen=True)
class Comparison:
    """The same work twice, under the names ``ovs_jax`` and ``torch``.

    Attributes:
      name: ``training step`` or ``inference``.
      runs: each does the work once and waits for it.
      flops: model FLOPs of a run.
    """

    name: str
    runs: dict[str, Callable[[], None]]
    flops: flops.Flops


def comparisons(batch: int, threads: int) -> tuple[list[Comparison], dict[str, Any]]:
    """Both models, ready to run.

    Args:
      batch: images a step.
      threads: of PyTorch; those of JAX are limited before it starts, see `machine.limit_threads`.

    Returns:
      What to time, and versions and parameter counts.

    Raises:
      ValueError: PyTorch or transformers is missing, or the sizes turn out to differ.
    """
    try:
        import torch
    except ImportError as error:
        raise ValueError(MISSING.format(name="torch")) from error
    try:
        import transformers
    except ImportError as error:
        raise ValueError(MISSING.format(name="transformers")) from error
    torch.set_num_threads(threads)

    config = model_config(
        "groupvit", "vit_small", overrides={"multi_label": False, "encoder": {"drop_path": 0.0}}
    )
    arrays = inputs(batch, config.encoder.image_size, config.text.length, config.text.vocabulary)
    ours, count = our_runs(config, arrays)
    other = TorchGroupViT(config, batch=batch, device="cpu", dtype="float32", backend=None)
    if count != other.parameters:
        raise ValueError(
            f"--against-torch: {count} parameters here and {other.parameters} in transformers"
        )
    theirs = {"training step": other.train, "inference": other.infer}
    objective = CaptionObjective(project_tokens=False)
    counted = {
        "training step": flops.training(config, objective, text_length=config.text.length),
        "inference": flops.segmentation(config, config.encoder.image_size),
    }
    facts = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "parameters": count,
    }
    return [
        Comparison(name, {"ovs_jax": ours[name], "torch": theirs[name]}, per_image * batch)
        for name, per_image in counted.items()
    ], facts


def our_runs(config: Any, arrays: dict[str, Any]) -> tuple[Runs, int]:
    """The training step and the features of this package; and the number of parameters."""
    plan = states.plan(
        build(config),
        mesh=parallel.make_mesh((1, 1, 1), devices=jax.devices()[:1]),
        config=OptimizerConfig(),
        schedule=optax.constant_schedule(RATE),
    )
    placed = parallel.shard_batch(arrays, plan.mesh)
    objective = CaptionObjective(project_tokens=False)
    step = make_step(plan, objective, StepConfig()).lower(plan.shapes, placed).compile()
    state = [states.scratch(plan, 0)]

    @jax.jit
    def features(params: Any, stats: Any, images: Any) -> Any:
        return functional.bind(plan.static, params, stats).segment_features(images)

    def train() -> None:
        state[0], metrics = step(state[0], placed)
        jax.block_until_ready((state[0], metrics))

    def infer() -> None:
        jax.block_until_ready(features(state[0]["params"], state[0]["stats"], placed["image"]))

    return {"training step": train, "inference": infer}, functional.count(plan.shapes["params"])
