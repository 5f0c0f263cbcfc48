"""Images to tokens."""

from itertools import pairwise

from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.nn.activation import gelu
from ovs_jax.nn.attention import linear
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.transformer import VISION_EPS


class PatchEmbedding(nnx.Module):
    """Projects non-overlapping patches: a strided convolution, written as one matrix product.

    The kernel's rows run over (row in the patch, column in the patch, colour). Hidden layers, which
    no published model has, let a token describe the texture of its own patch without looking at
    others. CLIP's projection has no bias.
    """

    def __init__(
        self,
        patch_size: int,
        width: int,
        *,
        norm: bool,
        hidden: tuple[int, ...] = (),
        bias: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = (patch_size * patch_size * 3, *hidden)
        self.hidden = nnx.List(
            linear(inputs, outputs, rngs=rngs) for inputs, outputs in pairwise(sizes)
        )
        self.projection = linear(sizes[-1], width, bias=bias, rngs=rngs)
        self.norm = LayerNorm(width, eps=VISION_EPS) if norm else None
        self.patch_size = patch_size

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b rows cols d"]:
        """Returns one token a patch.

        Raises:
          ValueError: height or width is not a multiple of the patch size.
        """
        batch, height, width, _ = images.shape
        size = self.patch_size
        if height % size or width % size or not height or not width:
            raise ValueError(
                f"image: got {height} x {width} pixels, expected multiples of the patch size {size}"
            )
        patches = images.reshape(batch, height // size, size, width // size, size, 3)
        patches = patches.transpose(0, 1, 3, 2, 4, 5)
        x = patches.reshape(*patches.shape[:3], -1)
        for layer in self.hidden:
            x = gelu(layer(x))
        tokens = self.projection(x)
        return tokens if self.norm is None else self.norm(tokens)
