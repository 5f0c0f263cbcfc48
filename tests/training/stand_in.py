"""A small model with the parts that training cares about: image, text and momentum encoders,
a BatchNorm, a temperature and noise.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from ovs_jax.typing import Batch


class Norm(nnx.Module):
    """Batch normalisation over the global batch, with running statistics."""

    def __init__(self, width: int) -> None:
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.variance = nnx.BatchStat(jnp.ones(width))
        self.train = False

    def set_view(self, train: bool | None = None, **others: object) -> dict[str, object]:
        if train is not None:
            self.train = train
        return others

    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.train:
            return (x - self.mean[...][None]) / jnp.sqrt(self.variance[...][None] + 1e-5)
        mean, variance = x.mean(0, keepdims=True), x.var(0, keepdims=True)
        self.mean[...] = 0.9 * self.mean[...] + 0.1 * mean[0].astype(jnp.float32)
        self.variance[...] = 0.9 * self.variance[...] + 0.1 * variance[0].astype(jnp.float32)
        return (x - mean) / jnp.sqrt(variance + 1e-5)


class Pair(nnx.Module):
    """Two linear encoders."""

    def __init__(self, rngs: nnx.Rngs, *, width: int = 8, momentum: bool = True) -> None:
        self.image_encoder = nnx.Linear(12, width, rngs=rngs)
        if momentum:
            self.momentum_encoder = nnx.Linear(12, width, rngs=rngs)
        self.text_encoder = nnx.Embed(16, width, rngs=rngs)
        self.norm = Norm(width)
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
