"""Projection heads into the shared image-text space."""

from dataclasses import dataclass

import jax
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.nn.attention import linear
from ovs_jax.nn.norm import BatchNorm


@dataclass(frozen=True)
class ProjectorConfig:
    """A projection head.

    Attributes:
      hidden: channels between the two dense layers; 0 makes a single dense layer.
      outputs: channels of the shared space.
    """

    hidden: int = 4096
    outputs: int = 256


class Projector(nnx.Module):
    """Dense, BatchNorm over batch and tokens, ReLU, dense; or a single dense layer."""

    def __init__(self, inputs: int, config: ProjectorConfig, *, rngs: nnx.Rngs) -> None:
        self.hidden = linear(inputs, config.hidden, rngs=rngs) if config.hidden else None
        self.norm = BatchNorm(config.hidden) if config.hidden else None
        self.out = linear(config.hidden or inputs, config.outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "*s d"]) -> Float[Array, "*s e"]:
        """Projects; in training every call moves the running statistics."""
        if self.hidden is not None and self.norm is not None:
            x = jax.nn.relu(self.norm(self.hidden(x)))
        return self.out(x)
