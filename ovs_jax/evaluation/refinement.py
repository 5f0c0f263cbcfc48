"""Pixel-adaptive mask refinement: masks move to the edges of the image, without learning.

PAMR (Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels, CVPR 2020, section
3.4): every pixel takes, again and again, an average of the masks of its neighbours, weighted by how
alike their colours are. It is linear in the masks, and the weights of a pixel sum to one. So the
few masks of groups are refined in place of one for each class, which gives the same class scores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ovs_jax.evaluation.painting import hard_shares

_STEPS = (-1, 0, 1)
_TINY = 1e-8  # where a neighbourhood is of one colour, all neighbours count alike


@dataclass(frozen=True)
class Pamr:
    """How masks are refined; the defaults are those of the published evaluations that use it.

    Attributes:
      iterations: how often masks are averaged.
      dilations: distances in pixels of the neighbours: eight at each, in a square.
      width: differences of colour are measured in this many standard deviations.
    """

    iterations: int = 10
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
    width: float = 0.1

    def __post_init__(self) -> None:
        if self.iterations < 1 or not self.dilations or min(self.dilations) < 1 or self.width <= 0:
            raise ValueError(
                "refinement: expected at least one iteration, at least one dilation of 1 pixel or "
                f"more and a width above 0, got {self}"
            )

    def __str__(self) -> str:
        """What it does, for reports."""
        dilations = ", ".join(map(str, self.dilations))
        return (
            f"PAMR on the masks of each window: {self.iterations} iterations, 3 x 3 neighbours at "
            f"dilations {dilations}, softmax of -|difference of colour| / ({self.width:g} x local "
            "standard deviation), mean of channels, image edges repeated"
        )

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """The neighbours as (rows down, columns right)."""
        return tuple(
            (down * dilation, right * dilation)
            for dilation in self.dilations
            for down in _STEPS
            for right in _STEPS
            if down or right
        )


def _shifts(
    x: Float[Array, "h w a"], extent: Int[Array, "2"], pamr: Pamr
) -> Callable[[Int[Array, "2"]], Float[Array, "h w a"]]:
    """A function that gives every pixel its neighbour at an offset."""
    reach = max(pamr.dilations)
    # A margin of the image's edge pixels; what lies outside its extent is margin too.
    rows = jnp.clip(jnp.arange(-reach, x.shape[0] + reach), 0, extent[0] - 1)
    cols = jnp.clip(jnp.arange(-reach, x.shape[1] + reach), 0, extent[1] - 1)
    margined = x[rows][:, cols]

    def shifted(offset: Int[Array, "2"]) -> Float[Array, "h w a"]:
        down, right = offset + reach
        return jax.lax.dynamic_slice(margined, (down, right, 0), x.shape)

    return shifted


def affinities(
    image: Float[Array, "h w 3"], extent: Int[Array, "2"], *, pamr: Pamr
) -> Float[Array, "n h w"]:
    """How much each pixel listens to each of its neighbours.

    Args:
      image: colours on any scale; multiplying a channel changes nothing.
      extent: (height, width) of the part that is image. Outside it, the nearest pixel counts.
      pamr: the neighbours, and how differences are measured.

    Returns:
      For every neighbour of `Pamr.offsets` a weight for each pixel; those of a pixel sum to one:
      the softmax over its neighbours of ``-|difference| / (width x deviation)``, averaged over the
      channels. The deviation is that of the neighbours' colours, pixel by pixel and channel by
      channel.
    """
    at = _shifts(image, extent, pamr)
    offsets = jnp.asarray(pamr.offsets, jnp.int32)
    count = len(pamr.offsets)

    def total(of_neighbour: Callable[[Array], Array]) -> Array:
        def add(sum_: Array, offset: Array) -> tuple[Array, None]:
            return sum_ + of_neighbour(at(offset)), None

        return jax.lax.scan(add, jnp.zeros_like(image), offsets)[0]

    mean = total(lambda neighbour: neighbour) / count
    deviation = jnp.sqrt(total(lambda neighbour: jnp.square(neighbour - mean)) / count)

    def likeness(offset: Array) -> Array:
        difference = jnp.abs(image - at(offset))
        return -jnp.mean(difference / (pamr.width * deviation + _TINY), axis=-1)

    return jax.nn.softmax(jax.lax.map(likeness, offsets), axis=0)


def refine(
    shares: Float[Array, "h w g"],
    image: Float[Array, "h w 3"],
    extent: Int[Array, "2"],
    *,
    pamr: Pamr,
) -> Float[Array, "h w g"]:
    """Refines the masks of one window.

    Args:
      shares: the share of each pixel in each mask.
      image: see `affinities`.
      extent: see `affinities`.
      pamr: see `affinities`.

    Returns:
      The refined shares; those of a pixel sum to what they summed to before.
    """
    weights = affinities(image, extent, pamr=pamr)
    offsets = jnp.asarray(pamr.offsets, jnp.int32)

    def once(_: Array, masks: Array) -> Array:
        at = _shifts(masks, extent, pamr)

        def add(sum_: Array, neighbour: tuple[Array, Array]) -> tuple[Array, None]:
            weight, offset = neighbour
            return sum_ + weight[..., None] * at(offset), None

        return jax.lax.scan(add, jnp.zeros_like(masks), (weights, offsets))[0]

    return jax.lax.fori_loop(0, pamr.iterations, once, shares)


@partial(jax.jit, static_argnames="pamr")
def refine_groups(
    maps: Float[Array, "k rows cols g"],
    windows: Float[Array, "k window window 3"],
    *,
    count: Int[Array, ""],
    extent: Int[Array, "2"],
    pamr: Pamr,
) -> Float[Array, "k window window g"]:
    """Refines what pixels belong to which group, in each window of an image.

    Args:
      maps: the share of each patch in each group.
      windows: the pixels.
      count: how many windows there are; the rest is room and stays zero. The number is no part of
        the program, so that images of many sizes share it.
      extent: (height, width) of the part of each window that is image.
      pamr: how.

    Returns:
      The share of every pixel in each group; those of a pixel sum to one. Before, a pixel belongs
      to one group wholly.
    """
    shares = hard_shares(maps, (windows.shape[1], windows.shape[2]))

    def one(window: Int[Array, ""], refined: Array) -> Array:
        found = refine(shares[window], windows[window], extent, pamr=pamr)
        return refined.at[window].set(found)

    return jax.lax.fori_loop(0, count, one, jnp.zeros_like(shares))
