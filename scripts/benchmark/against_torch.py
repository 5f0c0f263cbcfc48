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
import numpy as np
import optax

from ovs_jax import parallel
from ovs_jax.models.registry import build, model_config
from ovs_jax.nn import functional
from ovs_jax.training import flops
from ovs_jax.training import state as states
from ovs_jax.training.objectives import CaptionObjective
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.step import StepConfig, make_step

RATE = 1e-5
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


def inputs(batch: int, size: int, length: int, vocabulary: int) -> dict[str, Any]:
    """Random images and texts; the last kept token is the end of text, the largest id."""
    rng = np.random.default_rng(0)
    ids = rng.integers(5, vocabulary - 2, (batch, length)).astype(np.int32)
    kept = rng.integers(length // 4, length + 1, batch)
    ids[np.arange(batch), kept - 1] = vocabulary - 1
    return {
        "image": rng.standard_normal((batch, size, size, 3), np.float32),
        "caption": {"ids": ids, "mask": np.arange(length) < kept[:, None]},
    }


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
    transformers.logging.set_verbosity_error()

    config = model_config(
        "groupvit", "vit_small", overrides={"multi_label": False, "encoder": {"drop_path": 0.0}}
    )
    arrays = inputs(batch, config.encoder.image_size, config.text.length, config.text.vocabulary)
    ours, count = our_runs(config, arrays)
    theirs, other = torch_runs(torch, transformers, config, arrays)
    if count != other:
        raise ValueError(f"--against-torch: {count} parameters here and {other} in transformers")
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


Runs = dict[str, Callable[[], None]]


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


def torch_runs(
    torch: Any, transformers: Any, config: Any, arrays: dict[str, Any]
) -> tuple[Runs, int]:
    """The same of the PyTorch model, made from a config of the same sizes."""
    encoder, words = config.encoder, config.text
    sizes = transformers.GroupViTConfig(
        vision_config={
            "hidden_size": encoder.width,
            "intermediate_size": 4 * encoder.width,
            "depths": list(encoder.depths),
            "num_hidden_layers": sum(encoder.depths),
            "num_group_tokens": list(encoder.group_tokens),
            "num_output_groups": [*encoder.output_groups, encoder.output_groups[-1]],
            "num_attention_heads": encoder.heads[0],
            "image_size": encoder.image_size,
            "patch_size": encoder.patch_size,
        },
        text_config={
            "hidden_size": words.width,
            "intermediate_size": words.hidden,
            "num_hidden_layers": words.depth,
            "num_attention_heads": words.heads,
            "max_position_embeddings": words.length,
            "vocab_size": words.vocabulary,
            "eos_token_id": words.vocabulary - 1,
        },
        projection_dim=config.projector.outputs,
        projection_intermediate_dim=config.projector.hidden,
    )
    torch.manual_seed(0)
    model = transformers.GroupViTModel(sizes)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.05, fused=True)
    images = torch.from_numpy(np.ascontiguousarray(arrays["image"].transpose(0, 3, 1, 2)))
    ids = torch.from_numpy(arrays["caption"]["ids"]).long()
    mask = torch.from_numpy(arrays["caption"]["mask"]).long()

    def train() -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        found = model(input_ids=ids, attention_mask=mask, pixel_values=images, return_loss=True)
        found.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            found = model.vision_model(pixel_values=images, output_attentions=True)
            model.visual_projection(found.pooler_output)
            groups = found.last_hidden_state
            model.visual_projection(groups.reshape(-1, groups.shape[-1]))
            torch.matmul(found.attentions[1], found.attentions[0])

    return {"training step": train, "inference": infer}, sum(p.numel() for p in parameters)
