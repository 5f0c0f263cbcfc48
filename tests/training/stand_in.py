"""A small model with the parts that training cares about: image, text and momentum encoders,
a BatchNorm, a temperature and noise.
"""

from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ovs_jax import parallel
from ovs_jax.nn.norm import BatchNorm
from ovs_jax.training import loop
from ovs_jax.training import state as states
from ovs_jax.training.guards import GuardConfig
from ovs_jax.training.loop import LoopConfig
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.resume import CheckpointConfig, Checkpoints
from ovs_jax.training.start import InitConfig, start
from ovs_jax.training.writer import Writer
from ovs_jax.typing import Batch


class Pair(nnx.Module):
    """Two linear encoders."""

    def __init__(self, rngs: nnx.Rngs, *, width: int = 8, momentum: bool = True) -> None:
        self.image_encoder = nnx.Linear(12, width, rngs=rngs)
        if momentum:
            self.momentum_encoder = nnx.Linear(12, width, rngs=rngs)
        self.text_encoder = nnx.Embed(16, width, rngs=rngs)
        self.norm = BatchNorm(width)
        self.logit_scale = nnx.Param(jnp.float32(1.0))


def objective(model: Pair, batch: Batch, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Contrasts images with captions; a little noise shows that keys follow the step."""
    pixels = batch["image"].reshape(batch["image"].shape[0], -1)
    pixels = pixels + 0.01 * jax.random.normal(key, pixels.shape, pixels.dtype)
    image = model.norm(model.image_encoder(pixels))
    text = model.text_encoder(batch["caption"]["ids"]).mean(1)
    logits = (image @ text.T).astype(jnp.float32) * jnp.exp(model.logit_scale[...])
    matching = -jnp.mean(jnp.diagonal(jax.nn.log_softmax(logits)))
    loss = matching
    if hasattr(model, "momentum_encoder"):
        loss = loss + 0.1 * jnp.mean((model.momentum_encoder(pixels) - image) ** 2)
    return loss, {"loss/matching": matching, "temperature": jnp.exp(model.logit_scale[...])}


FROZEN = ("momentum_encoder/.*",)
WITHOUT_GRADIENT = "image_encoder/bias"
"""A bias before BatchNorm has no gradient but rounding, which Adam makes as large as any other."""


def batch(rows: int = 8, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.normal(size=(rows, 2, 2, 3)).astype(np.float32),
        "caption": {"ids": rng.integers(0, 16, (rows, 4)).astype(np.int32)},
    }


def make_plan(
    shape: tuple[int, int, int] = (8, 1, 1),
    *,
    frozen: tuple[str, ...] = FROZEN,
    width: int = 8,
    momentum: bool = True,
) -> states.Plan:
    devices = jax.devices()[: int(np.prod(shape))]
    return states.plan(
        lambda rngs: Pair(rngs, width=width, momentum=momentum),
        mesh=parallel.make_mesh(shape, devices=devices),
        config=OptimizerConfig(frozen=frozen),
        schedule=optax.constant_schedule(0.01),
        rules=((".*", parallel.FullyShard(minimum_size=1)),),
    )


DESCRIPTION = {"config": {"seed": 0, "data": {"batch": 4}}, "model": {}, "tokenizer": {}}


def data() -> grain.DatasetIterator:
    numbers = grain.MapDataset.source(list(range(64))).seed(1).shuffle().repeat().batch(4)
    return iter(numbers.to_iter_dataset())


def open_run(folder: Path, **config: Any) -> Checkpoints:
    return Checkpoints(folder, CheckpointConfig(**config), description=DESCRIPTION)


def equal(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def train(
    plan: states.Plan, step: Any, folder: Path, *, steps: int, save_every: int
) -> loop.Outcome:
    """Trains from scratch, or goes on, in a folder; every process has its part of every batch."""
    count, rows = jax.process_count(), 16

    def mine(step: int) -> Any:
        part = slice(jax.process_index() * rows // count, (jax.process_index() + 1) * rows // count)
        return jax.tree.map(lambda x: x[part], batch(rows, seed=step))

    folder.mkdir(parents=True, exist_ok=True)
    batches = iter(grain.MapDataset.range(100).map(mine).to_iter_dataset())
    checkpoints = open_run(folder)
    state = start(plan, checkpoints, batches, seed=0, init=InitConfig())
    first = jax.process_index() == 0
    writer = Writer(folder, step=int(state["step"]), steps=steps, enabled=first)
    outcome = loop.train(
        plan,
        step,
        state,
        batches,
        config=LoopConfig(
            steps=steps,
            log_every=1,
            save_every=save_every,
            guards=GuardConfig(checksum_every=steps),
        ),
        checkpoints=checkpoints,
        writer=writer,
    )
    writer.close()
    checkpoints.close()
    return outcome
