"""What the model groups together, whatever it is called."""

import numpy as np
from jaxtyping import Int, UInt8

from ovs_jax.viz.overlay import blend
from ovs_jax.viz.palette import distinct_palette


def draw_groups(
    image: UInt8[np.ndarray, "h w 3"], groups: Int[np.ndarray, "h w"], *, opacity: float = 0.6
) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph with every group in a colour of its own; colours say nothing about classes.

    Args:
      image: the photograph.
      groups: a number for every pixel, not negative.
      opacity: of the colours.
    """
    _, dense = np.unique(groups, return_inverse=True)
    dense = dense.reshape(groups.shape)
    return blend(image, dense, distinct_palette(int(dense.max()) + 1), opacity=opacity)
