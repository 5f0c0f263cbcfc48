"""The grouping vision transformer: stages of blocks, all but the last ended by grouping."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from ovs_jax.models.features import Assignment, ImageFeatures
from ovs_jax.models.groupvit.config import EncoderConfig
from ovs_jax.models.groupvit.grouping import TOKEN_MLP_RATIO, GroupingBlock
from ovs_jax.nn.attention import KERNEL_INIT
from ovs_jax.nn.execution import Executed, run_layers
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.patch import PatchEmbedding
from ovs_jax.nn.position import PositionEmbedding
from ovs_jax.nn.stochastic import split
from ovs_jax.nn.transformer import VISION_EPS, Block, TokenMlp


class GroupProjector(nnx.Module):
    """Turns the group tokens of one stage into an addition to those of the next."""

    def __init__(self, width: int, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.norm = LayerNorm(width, eps=VISION_EPS)
        self.mix = TokenMlp(inputs, int(width * TOKEN_MLP_RATIO), outputs, rngs=rngs)

    def __call__(self, groups: Float[Array, "b i d"]) -> Float[Array, "b o d"]:
        """Returns as many tokens as the next stage has."""
        return self.mix(self.norm(groups))


class Stage(Executed):
    """Blocks over image and group tokens together; then, where there are group tokens, grouping."""

    def __init__(
        self,
        config: EncoderConfig,
        index: int,
        *,
        rates: Sequence[float],
        rngs: nnx.Rngs,
    ) -> None:
        width, heads = config.width, config.heads[index]
        count = config.group_tokens[index]
        previous = config.group_tokens[index - 1] if index else 0
        self.group_tokens = nnx.Param(KERNEL_INIT(rngs.params(), (count, width))) if count else None
        self.group_projector = (
            GroupProjector(width, previous, count, rngs=rngs) if count and previous else None
        )
        self.blocks = nnx.List(Block(width, heads, rngs=rngs) for _ in rates)
        self.rates = tuple(map(float, rates))
        self.grouping = (
            GroupingBlock(
                width,
                heads,
                group_tokens=count,
                output_groups=config.output_groups[index],
                hard=config.assignment == "hard",
                residual=config.group_residual,
                rngs=rngs,
            )
            if count
            else None
        )

    def __call__(
        self,
        tokens: Float[Array, "b n d"],
        previous: Float[Array, "b m d"] | None,
        *,
        gumbel: Float[Array, "b g n"] | None,
        key: Key[Array, ""] | None,
    ) -> tuple[Float[Array, "b o d"], Float[Array, "b t d"] | None, Assignment | None]:
        """Runs the stage.

        Args:
          tokens: image tokens, or the groups of the stage before.
          previous: the group tokens as the stage before left them.
          gumbel: noise of the assignment.
          key: random key of stochastic depth.

        Returns:
          The tokens for the next stage, this stage's group tokens, and the assignment if it groups.
        """
        count = tokens.shape[1]
        groups = self._start(tokens, previous)
        x = tokens if groups is None else jnp.concatenate([tokens, groups], axis=1)
        x = run_layers(
            self.blocks,
            x,
            call=lambda block, y, k, rate: block(y, key=k, rate=rate),
            execution=self.execution,
            key=key,
            rates=self.rates,
        )
        if self.grouping is None:
            return x, None, None
        merged, assignment = self.grouping(x[:, :count], x[:, count:], gumbel=gumbel)
        return merged, x[:, count:], assignment

    def _start(self, tokens: Array, previous: Array | None) -> Array | None:
        if self.group_tokens is None:
            return None
        own = self.group_tokens[...][None].astype(tokens.dtype)
        groups = jnp.broadcast_to(own, (tokens.shape[0], *own.shape[1:]))
        if self.group_projector is None or previous is None:
            return groups
        return groups + self.group_projector(previous)


class GroupingEncoder(nnx.Module):
    """The image encoder of GroupViT and OVSegmentor."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs) -> None:
        rates = np.linspace(0.0, config.drop_path, sum(config.depths))
        ends = np.cumsum(config.depths)
        self.patch_embedding = PatchEmbedding(
            config.patch_size,
            config.width,
            norm=config.patch_norm,
            hidden=config.patch_hidden,
            rngs=rngs,
        )
        self.position_embedding = PositionEmbedding(
            config.image_size // config.patch_size, config.width, rngs=rngs
        )
        self.stages = nnx.List(
            Stage(config, i, rates=rates[end - depth : end].tolist(), rngs=rngs)
            for i, (end, depth) in enumerate(zip(ends, config.depths, strict=True))
        )
        self.norm = LayerNorm(config.width, eps=VISION_EPS)
        self.output_groups = config.output_groups
        self.gumbel = config.gumbel

    def draw_gumbel(
        self, key: Key[Array, ""], batch: int, tokens: int
    ) -> list[Float[Array, "b _ _"]]:
        """Draws the noise of every grouping stage for ``batch`` images of ``tokens`` patches.

        Returns:
          Standard Gumbel noise, ``(batch, groups, tokens)`` for each stage, whose tokens are the
          patches or the groups of the stage before.
        """
        noise = []
        for stage_key, groups in zip(
            jax.random.split(key, len(self.output_groups)), self.output_groups, strict=True
        ):
            noise.append(jax.random.gumbel(stage_key, (batch, groups, tokens)))
            tokens = groups
        return noise

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        *,
        key: Key[Array, ""] | None = None,
        gumbel: Sequence[Float[Array, "b _ _"]] | None = None,
    ) -> ImageFeatures:
        """Encodes images.

        Args:
          images: normalised; height and width are multiples of the patch size.
          key: random key of stochastic depth and of the Gumbel noise; None means evaluation.
          gumbel: the noise itself, one array a grouping stage, in place of drawing it.

        Returns:
          Pooled and group features, and the assignments.

        Raises:
          ValueError: height or width is not a multiple of the patch size.
        """
        x = self.patch_embedding(images)
        batch, rows, cols, width = x.shape
        x = x + self.position_embedding(rows, cols)[None].astype(x.dtype)
        x = x.reshape(batch, rows * cols, width)
        path_key, noise_key = split(key, 2)
        if gumbel is None and noise_key is not None and self.gumbel:
            gumbel = self.draw_gumbel(noise_key, batch, rows * cols)
        groups, assignments = None, []
        for i, (stage, stage_key) in enumerate(
            zip(self.stages, split(path_key, len(self.stages)), strict=True)
        ):
            noise = gumbel[i] if gumbel is not None and i < len(self.output_groups) else None
            x, groups, assignment = stage(x, groups, gumbel=noise, key=stage_key)
            if assignment is not None:
                assignments.append(assignment)
        x = self.norm(x)
        return ImageFeatures(pooled=x.mean(1), groups=x, assignments=tuple(assignments))


def group_maps(
    assignments: Sequence[Assignment], rows: int, cols: int
) -> Float[Array, "b rows cols g"]:
    """The share of every patch in every final group: the soft assignments multiplied.

    Args:
      assignments: of every grouping stage, in order; the first is over ``rows * cols`` patches.
      rows: of the patch grid.
      cols: of the patch grid.

    Returns:
      Maps that sum to one over the groups of the last stage.
    """
    share = assignments[0].soft
    for later in assignments[1:]:
        share = jnp.einsum("bfg,bgn->bfn", later.soft, share)
    return share.swapaxes(1, 2).reshape(share.shape[0], rows, cols, share.shape[1])
