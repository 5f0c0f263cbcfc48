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
from ovs_jax.training import state as states
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.resume import CheckpointConfig, Checkpoints
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
