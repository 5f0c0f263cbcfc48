"""Residual networks of bottlenecks (He et al., 2016) as feature pyramids."""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.nn.convolution import KAIMING, convolution
from ovs_jax.nn.norm import FrozenBatchNorm, GroupNorm

EXPANSION = 4
"""Outputs of a bottleneck, in units of its inner width."""
GROUP = 16
"""The most channels that are normalised together (Wu and He, 2018)."""


@dataclass(frozen=True)
class ResNetConfig:
    """A residual network with a 7x7 stem and the stride in the 3x3 convolution.

    Attributes:
      stem: channels of the stem.
      width: inner channels of the first stage (64 in ResNet-50 and -101); each stage doubles it,
        and a stage's outputs are four times as wide.
      blocks: bottlenecks a stage.
      norm: ``frozen`` keeps the statistics of published weights; ``group`` normalises each image on
        its own and is what training from scratch needs.
    """

    stem: int = 64
    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    norm: Literal["frozen", "group"] = "frozen"

    def __post_init__(self) -> None:
        sizes = (self.stem, self.width, *(self.blocks or (0,)))
        if min(sizes) < 1:
            raise ValueError(
                f"backbone: expected stem, width and blocks of at least 1, got {self.stem}, "
                f"{self.width} and {self.blocks}"
            )

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of each stage's output."""
        return tuple(EXPANSION * self.width * 2**i for i in range(len(self.blocks)))


def _norm(width: int, config: ResNetConfig) -> FrozenBatchNorm | GroupNorm:
    if config.norm == "frozen":
        return FrozenBatchNorm(width)
    return GroupNorm(width, groups=width // math.gcd(width, GROUP))


class Stem(nnx.Module):
    """7x7 convolution of stride 2, norm, ReLU and 3x3 maximum of stride 2."""

    def __init__(self, config: ResNetConfig, *, rngs: nnx.Rngs) -> None:
        self.conv = convolution(3, config.stem, 7, stride=2, kernel_init=KAIMING, rngs=rngs)
        self.norm = _norm(config.stem, config)

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b rows cols d"]:
        """Returns features at a quarter of the size, rounded up."""
        x = jax.nn.relu(self.norm(self.conv(images)))
        # After a ReLU, padding with zeros changes no maximum.
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return nnx.max_pool(x, (3, 3), strides=(2, 2))


class Bottleneck(nnx.Module):
    """1x1, 3x3 and 1x1 convolutions, each with a norm, around a shortcut."""

    def __init__(
        self,
        inputs: int,
        inner: int,
        *,
        stride: int,
        config: ResNetConfig,
        rngs: nnx.Rngs,
    ) -> None:
        outputs = EXPANSION * inner
        self.conv1 = convolution(inputs, inner, 1, kernel_init=KAIMING, rngs=rngs)
        self.norm1 = _norm(inner, config)
        self.conv2 = convolution(inner, inner, 3, stride=stride, kernel_init=KAIMING, rngs=rngs)
        self.norm2 = _norm(inner, config)
        self.conv3 = convolution(inner, outputs, 1, kernel_init=KAIMING, rngs=rngs)
        self.norm3 = _norm(outputs, config)
        changes = stride != 1 or inputs != outputs
        self.shortcut = (
            convolution(inputs, outputs, 1, stride=stride, kernel_init=KAIMING, rngs=rngs)
            if changes
            else None
        )
        self.shortcut_norm = _norm(outputs, config) if changes else None

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b rows cols o"]:
        """Returns the features after the residual sum and its ReLU."""
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        y = jax.nn.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return jax.nn.relu(x + y)


class Stage(nnx.Module):
    """Bottlenecks of one width; the first may halve the size."""

    def __init__(
        self,
        inputs: int,
        index: int,
        *,
        config: ResNetConfig,
        rngs: nnx.Rngs,
    ) -> None:
        inner, outputs = config.width * 2**index, config.outputs[index]
        self.blocks = nnx.List(
            Bottleneck(
                outputs if i else inputs,
                inner,
                stride=2 if index and not i else 1,
                config=config,
                rngs=rngs,
            )
            for i in range(config.blocks[index])
        )

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b rows cols o"]:
        """Runs the blocks."""
        for block in self.blocks:
            x = block(x)
        return x


class ResNet(nnx.Module):
    """A residual network without its classifier."""

    def __init__(self, config: ResNetConfig, *, rngs: nnx.Rngs) -> None:
        self.stem = Stem(config, rngs=rngs)
        inputs = (config.stem, *config.outputs)
        self.stages = nnx.List(
            Stage(inputs[i], i, config=config, rngs=rngs) for i in range(len(config.blocks))
        )

    def __call__(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Returns the output of every stage: strides 4, 8, 16, 32; finest first.

        Args:
          images: normalised.
        """
        x = self.stem(images)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return tuple(levels)
