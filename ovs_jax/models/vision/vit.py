"""The plain vision transformer: DINO's, ImageNet's and, with a norm before its blocks, CLIP's."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.models.vision.config import VisionConfig
from ovs_jax.nn.attention import KERNEL_INIT
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.patch import PatchEmbedding
from ovs_jax.nn.position import resize_positions
from ovs_jax.nn.transformer import Block


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VisionFeatures:
    """The output of a vision transformer, after its final norm.

    Attributes:
      pooled: the class token.
      tokens: one vector a patch, row by row.
    """

    pooled: Float[Array, "b d"]
    tokens: Float[Array, "b n d"]


class VisionTransformer(nnx.Module):
    """Patches and a class token through pre-norm blocks."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs) -> None:
        width = config.width
        self.grid = config.image_size // config.patch_size
        self.patch_embedding = PatchEmbedding(
            config.patch_size, width, norm=False, bias=config.patch_bias, rngs=rngs
        )
        self.class_token = nnx.Param(KERNEL_INIT(rngs.params(), (1, width)))
        # The class token's position is the first row, as in every published file.
        self.position_embedding = nnx.Param(
            KERNEL_INIT(rngs.params(), (1 + self.grid * self.grid, width))
        )
        self.pre_norm = LayerNorm(width, eps=config.eps) if config.pre_norm else None
        self.blocks = nnx.List(
            Block(
                width,
                config.heads,
                mlp_ratio=config.hidden / width,
                activation=config.activation,
                eps=config.eps,
                rngs=rngs,
            )
            for _ in range(config.depth)
        )
        self.norm = LayerNorm(width, eps=config.eps)

    def positions(self, rows: int, cols: int) -> Float[Array, "m d"]:
        """The position embeddings of the class token and of a grid of patches, resized to it."""
        table = self.position_embedding[...]
        grid = table[1:].reshape(self.grid, self.grid, -1)
        resized = resize_positions(grid, rows, cols).reshape(rows * cols, -1)
        return jnp.concatenate([table[:1], resized])

    def __call__(self, images: Float[Array, "b h w 3"]) -> VisionFeatures:
        """Encodes images.

        Args:
          images: normalised as the weights expect; sides are multiples of the patch size.

        Returns:
          Features of the class token and of every patch.

        Raises:
          ValueError: height or width is not a multiple of the patch size.
        """
        x, _ = self.embed(images)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return VisionFeatures(pooled=x[:, 0], tokens=x[:, 1:])

    def dense(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b rows cols d"]:
        """Encodes every patch as if it were an image: in the last block patches do not mix.

        There every token has only its own value for an answer (Zhou et al., 2022, MaskCLIP, section
        3.2), so what stands at a patch is about that patch, in the space of the class token.
        Arguments and errors as for the whole model.
        """
        x, (rows, cols) = self.embed(images)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        x = x + last.attention.out(last.attention.value(last.attention_norm(x)))
        x = self.norm(x + last.mlp(last.mlp_norm(x)))
        return x[:, 1:].reshape(x.shape[0], rows, cols, -1)

    def embed(
        self, images: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b m d"], tuple[int, int]]:
        """Tokens before the first block, the class token first, and how many patches a side."""
        patches = self.patch_embedding(images)
        batch, rows, cols, width = patches.shape
        start = jnp.broadcast_to(self.class_token[...][None], (batch, 1, width))
        x = jnp.concatenate(
            [start.astype(patches.dtype), patches.reshape(batch, -1, width)], axis=1
        )
        x = x + self.positions(rows, cols)[None].astype(x.dtype)
        return (x if self.pre_norm is None else self.pre_norm(x)), (rows, cols)
