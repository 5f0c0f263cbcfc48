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
from functools import partial
from typing import Any

import jax

from benchmark import training
from benchmark.torch_groupvit import ALONE, Runs, TorchGroupViT, inputs
from benchmark.training import Trainer
from ovs_jax.nn import functional
from ovs_jax.training import flops
from ovs_jax.training.caption_task import caption_model
from ovs_jax.training.config import RunConfig
from ovs_jax.typing import Batch

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

    run = training.load("groupvit/gcc_yfcc", batch=batch, dtype="float32", overrides=ALONE)
    model = caption_model(run)
    size, text = model.encoder.image_size, model.text
    ours, count = our_runs(run, inputs(batch, size, text.length, text.vocabulary))
    other = TorchGroupViT(model, batch=batch, device="cpu", dtype="float32", backend=None)
    if count != other.parameters:
        raise ValueError(
            f"--against-torch: {count} parameters here and {other.parameters} in transformers"
        )
    theirs = {"training step": other.train, "inference": other.infer}
    counted = {
        "training step": flops.training_flops(run),
        "inference": flops.segmentation(model, size),
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


def our_runs(config: RunConfig, arrays: Batch) -> tuple[Runs, int]:
    """The training step and the features of this package; and the number of parameters."""
    trainer = Trainer(config)
    plan, placed = trainer.plan, trainer.place(arrays)
    program, _ = trainer.compile(placed)

    @jax.jit
    def features(params: Any, stats: Any, images: Any) -> Any:
        return functional.bind(plan.static, params, stats).segment_features(images)

    def infer() -> None:
        state = trainer.state
        jax.block_until_ready(features(state["params"], state["stats"], placed["image"]))

    runs: Runs = {"training step": partial(trainer.run, placed, program), "inference": infer}
    return runs, functional.count(plan.shapes["params"])
