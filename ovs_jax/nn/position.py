"""Learned position embeddings of a square grid, resized to any other grid."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.interpolation import cubic_matrix
from ovs_jax.nn.attention import KERNEL_INIT


class PositionEmbedding(nnx.Module):
    """One learned vector a cell of a square grid (Dosovitskiy et al., 2021, section 3.2)."""

    def __init__(self, grid: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Param(KERNEL_INIT(rngs.params(), (grid * grid, width)))
        self.grid = grid

    def __call__(self, rows: int, cols: int) -> Float[Array, "rows cols d"]:
        """The embeddings of a grid of ``rows`` by ``cols`` patches."""
        return resize_positions(self.embedding[...].reshape(self.grid, self.grid, -1), rows, cols)


def resize_positions(
    grid: Float[Array, "i j d"], rows: int, cols: int
) -> Float[Array, "rows cols d"]:
    """Resizes position embeddings as published vision transformers do.

    Args:
      grid: one vector a cell.
      rows: of the wanted grid.
      cols: of the wanted grid.

    Returns:
      The bicubic resize (a = -0.75, half-pixel centres, no antialiasing); ``grid`` itself where the
      size is the same.
    """
    if grid.shape[:2] == (rows, cols):
        return grid
    vertical = jnp.asarray(cubic_matrix(grid.shape[0], rows), grid.dtype)
    horizontal = jnp.asarray(cubic_matrix(grid.shape[1], cols), grid.dtype)
    return jnp.einsum("ri,cj,ijd->rcd", vertical, horizontal, grid, precision="highest")
