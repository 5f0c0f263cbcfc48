"""Log-sum-exps over a matrix of logits that is never held whole.

A contrastive loss needs, of all products of images and texts, the logarithm of the summed
exponentials of every row and column. They are gathered tile by tile with a running maximum, and the
backward pass makes each tile again, as attention does that does not keep its weights (Dao et al.,
2022). Over several devices the texts travel round a ring, with the sums of their columns and, on
the way back, their gradients: every device holds its own rows, and one visiting block.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

Sums = Callable[
    [Float[Array, "b e"], Float[Array, "m e"], Float[Array, ""]],
    tuple[Float[Array, " b"], Float[Array, " m"]],
]
"""From unit images, unit texts and the inverse temperature to the log-sum-exp of the logits of each
image over all texts, and of each text over all images."""
product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
"""A matrix product at full float32 precision."""


def whole_sums(
    image: Float[Array, "b e"], text: Float[Array, "m e"], scale: Float[Array, ""]
) -> tuple[Float[Array, " b"], Float[Array, " m"]]:
    """The sums of a matrix that is held whole; the compiler gathers what lies elsewhere."""
    logits = scale * product(image, text.T)
    return jax.nn.logsumexp(logits, axis=1), jax.nn.logsumexp(logits, axis=0)


def tiled_sums(tile: int, *, axes: tuple[str, ...] = ()) -> Sums:
    """The same sums by tiles.

    Args:
      tile: the most texts that meet the images of a device at a time.
      axes: mesh axes over which images and texts are split, where a mesh is in use
        (`jax.sharding.use_abstract_mesh`); the ring goes through them.

    Returns:
      A function of unit images, unit texts and the inverse temperature. On a mesh the rows of both
      must split evenly. Its memory on a device is that of one tile and of the embeddings.

    Raises:
      ValueError: the tile is empty.
    """
    if tile < 1:
        raise ValueError(f"tile: expected at least one text, got {tile}")
    rows, everywhere = PartitionSpec(axes), PartitionSpec()

    @jax.custom_vjp
    def sums(image: Array, text: Array, scale: Array) -> tuple[Array, Array]:
        return forward(image, text, scale)[0]

    def forward(image: Array, text: Array, scale: Array) -> tuple[Any, Any]:
        found = over_ring(_forward, axes, tile, (image, text), scale, outputs=(rows, rows))
        return tuple(map(sum, found)), (image, text, scale, *found)

    def backward(kept: Any, gradients: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        image, text, scale, over_texts, over_images = kept
        shared = (image, text, over_texts, over_images, *gradients)
        outputs = (rows, rows, everywhere)
        return over_ring(_backward, axes, tile, shared, scale, outputs=outputs)

    sums.defvjp(forward, backward)
    return sums


def over_ring(
    function: Callable[..., Any],
    axes: tuple[str, ...],
    tile: int,
    split: Any,
    shared: Any,
    *,
    outputs: Any,
) -> Any:
    """Calls a function on every device's part, or on the whole where there is no mesh.

    Args:
      function: of the arrays of ``split``, then ``shared``, with ``tile`` and ``ring``.
      axes: mesh axes over which the arrays are split.
      tile: for the function.
      split: arrays whose rows are split.
      shared: arrays that every device has whole.
      outputs: how what comes out is split.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not axes:
        return function(*split, shared, tile=tile, ring=Ring((), 1))
    devices = 1
    for axis in axes:
        devices *= mesh.shape[axis]
    rows, everywhere = PartitionSpec(axes), PartitionSpec()
    return jax.shard_map(
        partial(function, tile=tile, ring=Ring(axes, devices)),
        mesh=mesh,
        in_specs=(*(rows for _ in split), everywhere),
        out_specs=outputs,
        check_vma=False,
    )(*split, shared)


class Ring:
    """The devices that blocks of texts visit one after the other."""

    def __init__(self, axes: tuple[str, ...], devices: int) -> None:
        self.axes = axes
        self.devices = devices

    def visit(self, function: Callable[[Any, Any], tuple[Any, Any]], own: Any, block: Any) -> Any:
        """Shows every device every block, until each is home again."""

        def step(carry: Any, _: None) -> tuple[Any, None]:
            own, block = function(*carry)
            if self.devices > 1:
                turn = [(i, (i + 1) % self.devices) for i in range(self.devices)]
                block = jax.lax.ppermute(block, self.axes, turn)
            return (own, block), None

        (own, block), _ = jax.lax.scan(step, (own, block), length=self.devices)
        return own, block

    def total(self, value: Array) -> Array:
        """The sum over all devices."""
        return jax.lax.psum(value, self.axes) if self.devices > 1 else value


def _add(sums: tuple[Array, Array], logits: Array, *, axis: int) -> tuple[Array, Array]:
    """Goes on with a running maximum and the sum of exponentials below it."""
    highest, total = sums
    new = jnp.maximum(highest, logits.max(axis))
    terms = jnp.exp(logits - jnp.expand_dims(new, axis)).sum(axis)
    return new, total * jnp.exp(highest - new) + terms


def _start(count: int) -> tuple[Array, Array]:
    return jnp.full(count, -jnp.inf), jnp.zeros(count)


def cut(tree: Any, tile: int) -> Any:
    """The rows of all arrays in parts of at most ``tile``, of equal size."""
    count = jax.tree.leaves(tree)[0].shape[0]
    size = max(n for n in range(1, min(tile, count) + 1) if count % n == 0)
    return jax.tree.map(lambda x: x.reshape(count // size, size, *x.shape[1:]), tree)


def join(tree: Any) -> Any:
    """The inverse of `cut`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _forward(image: Array, text: Array, scale: Array, *, tile: int, ring: Ring) -> Any:
    def meet(rows: Any, part: Any) -> tuple[Any, Any]:
        text, columns = part
        logits = scale * product(image, text.T)
        return _add(rows, logits, axis=1), (text, _add(columns, logits, axis=0))

    def visited(rows: Any, block: Any) -> tuple[Any, Any]:
        rows, parts = jax.lax.scan(meet, rows, cut(block, tile))
        return rows, join(parts)

    rows, (_, columns) = ring.visit(visited, _start(len(image)), (text, _start(len(text))))
    # The two parts stay apart: their sum would round away what the gradient needs.
    return tuple((highest, jnp.log(total)) for highest, total in (rows, columns))


def _backward(
    image: Array,
    text: Array,
    rows: tuple[Array, Array],
    columns: tuple[Array, Array],
    row_gradient: Array,
    column_gradient: Array,
    scale: Array,
    *,
    tile: int,
    ring: Ring,
) -> tuple[Array, Array, Array]:
    def meet(own: Any, part: Any) -> tuple[Any, Any]:
        image_gradient, scale_gradient = own
        text, text_gradient, columns, column_gradient = part
        cosine = product(image, text.T)
        logits = scale * cosine
        share = jnp.exp(logits - rows[0][:, None] - rows[1][:, None]) * row_gradient[:, None]
        share += jnp.exp(logits - columns[0][None] - columns[1][None]) * column_gradient[None]
        image_gradient += scale * product(share, text)
        text_gradient += scale * product(share.T, image)
        scale_gradient += (share * cosine).sum()
        return (image_gradient, scale_gradient), (text, text_gradient, columns, column_gradient)

    def visited(own: Any, block: Any) -> tuple[Any, Any]:
        own, parts = jax.lax.scan(meet, own, cut(block, tile))
        return own, join(parts)

    (image_gradient, scale_gradient), (_, text_gradient, _, _) = ring.visit(
        visited,
        (jnp.zeros_like(image), jnp.zeros_like(scale)),
        (text, jnp.zeros_like(text), columns, column_gradient),
    )
    return image_gradient, text_gradient, ring.total(scale_gradient)
