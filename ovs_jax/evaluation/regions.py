"""What CLIP is shown of a mask: boxes, crops and masked crops, all of one size, on the device.

Facts: ZegFormer, section 3.3 (the image branch). A crop is RoIAlign without antialiasing: every
output pixel is the mean of bilinear samples, as many a side as the box has pixels for it. Such a
mean is separable: ``rows @ image @ columns.T`` with one small matrix for each axis of each box. So
nothing is gathered, and boxes of all sizes share one program.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.interpolation import linear_matrix

RegionStyle = Literal["crop", "mask", "crop_mask"]
"""``crop``: the box of the mask. ``crop_mask``: the same with everything outside the mask set to
the mean colour. ``mask``: the whole image, squeezed to the size, with everything outside the mask
set to the mean colour."""
REGION_STYLES: tuple[RegionStyle, ...] = ("crop", "mask", "crop_mask")
REGION_SIZE = 224
"""Side of a region in pixels, what CLIP's published models are shown."""
CLIP_MEAN = (122.7709383, 116.7460125, 104.09373615)
"""Mean of red, green and blue over CLIP's training images, on the scale of 0 to 255."""
CLIP_STD = (68.5005327, 66.6321579, 70.3231630)
"""Standard deviation of red, green and blue, on the scale of 0 to 255."""
CHUNK = 4
"""Masks whose pictures exist at a time."""

EncodeImages = Callable[[Float[Array, "q size size 3"]], Float[Array, "q e"]]
"""Pictures to projected embeddings, not normalised."""
einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def inside(mask_logits: Float[Array, "*s"]) -> Bool[Array, "*s"]:
    """The pixels of masks: those with a probability above a half."""
    return mask_logits > 0


def mask_boxes(masks: Bool[Array, "q h w"]) -> Int[Array, "q 4"]:
    """The box of every mask.

    Args:
      masks: True inside.

    Returns:
      First column, first row, last column, last row, as the published model has them: the last
      ones are indices and not ends, so a crop loses a pixel there. A mask that is empty, or a
      single row or column, has the box of the whole image: 0, 0, w, h.
    """
    height, width = masks.shape[1:]
    columns, rows = masks.any(axis=1), masks.any(axis=2)

    def first(inside: Array) -> Array:
        return jnp.argmax(inside, axis=1)

    def last(inside: Array) -> Array:
        return inside.shape[1] - 1 - jnp.argmax(inside[:, ::-1], axis=1)

    found = jnp.stack([first(columns), first(rows), last(columns), last(rows)], axis=1)
    # An empty mask has no first column: argmax gives 0 from either end, which is no flat box.
    flat = (found[:, 2] == found[:, 0]) | (found[:, 3] == found[:, 1]) | ~columns.any(axis=1)
    whole = jnp.asarray([0, 0, width, height], jnp.int32)
    return jnp.where(flat[:, None], whole[None], found.astype(jnp.int32))


def align_matrix(
    start: Int[Array, ""], end: Int[Array, ""], *, length: int, size: int = REGION_SIZE
) -> Float[Array, "size length"]:
    """RoIAlign along one axis, as a matrix (He et al., 2017, section 3; half-pixel offset).

    Sample ``s`` of ``n`` in output pixel ``p`` lies at ``start - 1/2 + extent (p + (s + 1/2) / n) /
    size``. That is a fraction of integers: taken apart as such, it is exact on every device also
    where float32 has no digits left for positions in the thousands.

    Args:
      start: where the box begins, in pixels.
      end: where it ends, not before ``start``; both are 0 to ``length``.
      length: pixels of the image along this axis.
      size: output pixels.

    Returns:
      A row for each output pixel: the mean of the bilinear weights of ``ceil((end - start) /
      size)`` samples. Rows sum to one unless the box has no extent.
    """
    extent = end - start
    samples = -(-extent // size)
    divisor = jnp.maximum(2 * samples * size, 1)
    pixels = jnp.arange(length)

    def add(sample: Array, total: Array) -> Array:
        numerator = extent * (2 * samples * jnp.arange(size) + 2 * sample + 1)
        whole, rest = numerator // divisor, numerator % divisor
        offset = rest.astype(jnp.float32) / divisor.astype(jnp.float32) - 0.5
        distance = (start + whole[:, None] - pixels[None]).astype(jnp.float32) + offset[:, None]
        # Samples beyond the first and last pixel centres take the value there.
        distance = jnp.clip(distance, -pixels[None], length - 1.0 - pixels[None])
        weights = jnp.maximum(1.0 - jnp.abs(distance), 0.0)
        return total + jnp.where(sample < samples, weights, 0.0)

    most = -(-length // size)
    total = jax.lax.fori_loop(0, most, add, jnp.zeros((size, length), jnp.float32))
    return total / jnp.maximum(samples, 1)


def align(
    images: Float[Array, "#q h w ch"], boxes: Int[Array, "q 4"], *, size: int = REGION_SIZE
) -> Float[Array, "q size size ch"]:
    """RoIAlign with adaptive sampling: the box of each image, brought to one size.

    Args:
      images: one for each box; or one image for all boxes, as the only one.
      boxes: x of the start, y of the start, x and y of the end, in pixels, within the images.
      size: side of the result; the aspect is not kept.
    """
    height, width = images.shape[1:3]
    if images.shape[0] == 1:
        images = jnp.broadcast_to(images, (boxes.shape[0], *images.shape[1:]))
    rows = jax.vmap(partial(align_matrix, length=height, size=size))(boxes[:, 1], boxes[:, 3])
    cols = jax.vmap(partial(align_matrix, length=width, size=size))(boxes[:, 0], boxes[:, 2])
    return einsum("qyh,qxw,qhwc->qyxc", rows, cols, images)


def region_inputs(
    image: Float[Array, "h w 3"],
    mask_logits: Float[Array, "q h w"],
    *,
    style: RegionStyle,
    size: int = REGION_SIZE,
) -> Float[Array, "q size size 3"]:
    """What CLIP is shown of every mask.

    Args:
      image: normalised with `CLIP_MEAN` and `CLIP_STD` and padded with zeros, the mean colour.
      mask_logits: at the size of the padded image; see `inside`.
      style: see `RegionStyle`.
      size: side of the regions.

    Returns:
      One picture a mask. With a mask it is all zeros where the mask is empty.

    Raises:
      ValueError: an unknown style.
    """
    if style not in REGION_STYLES:
        raise ValueError(f"region style: expected one of {REGION_STYLES}, got '{style}'")
    if style == "mask":
        small = resize(image[None], (size, size))
        masks = inside(resize(mask_logits[..., None], (size, size)))
        return jnp.where(masks, small, 0.0)
    masks = inside(mask_logits)
    pictures = image[None]
    if style == "crop_mask":
        pictures = jnp.where(masks[..., None], pictures, 0.0)
    return align(pictures, mask_boxes(masks), size=size)


def resize(images: Float[Array, "q h w ch"], size: tuple[int, int]) -> Float[Array, "q y x ch"]:
    """Resizes bilinearly: half-pixel centres, no antialiasing, the aspect not kept."""
    rows = linear_matrix(images.shape[1], size[0], align_corners=False)
    cols = linear_matrix(images.shape[2], size[1], align_corners=False)
    return einsum("yh,xw,qhwc->qyxc", rows, cols, images)


def embed_regions(
    encode: EncodeImages,
    image: Float[Array, "h w 3"],
    mask_logits: Float[Array, "q rows cols"],
    *,
    style: RegionStyle,
    size: int = REGION_SIZE,
    chunk: int = CHUNK,
) -> Float[Array, "q e"]:
    """Embeds every mask's picture.

    Masks are taken a few at a time: the masks at full size, the masked copies of the image and the
    encoder's activations never exist for all of them.

    Args:
      encode: CLIP's image encoder.
      image: normalised with `CLIP_MEAN` and `CLIP_STD` and padded with zeros, the mean colour.
      mask_logits: of any size; brought to that of the padded image.
      style: see `RegionStyle`.
      size: side of the regions.
      chunk: masks at a time.

    Returns:
      Image embeddings, not normalised.
    """
    count = mask_logits.shape[0]
    chunk = min(chunk, count)
    missing = -count % chunk
    padded = jnp.pad(mask_logits, ((0, missing), (0, 0), (0, 0)))

    def embed(part: Array) -> Array:
        full = resize(part[..., None], (image.shape[0], image.shape[1]))[..., 0]
        return encode(region_inputs(image, full, style=style, size=size))

    found = jax.lax.map(embed, padded.reshape(-1, chunk, *mask_logits.shape[1:]))
    return found.reshape(count + missing, -1)[:count]


def pool_regions(
    dense: Float[Array, "rows cols e"],
    mask_logits: Float[Array, "q my mx"],
    *,
    size: tuple[int, int],
) -> Float[Array, "q e"]:
    """Embeds every mask from one look at the whole image: the mean of the patches in it.

    The cheap way, beyond the paper: one forward pass of the image encoder in place of one for each
    mask.

    Args:
      dense: an embedding for every patch of the padded image, not normalised.
      mask_logits: of any size; brought to that of the padded image.
      size: (height, width) of the padded image.

    Returns:
      Image embeddings, not normalised. A patch weighs as much as the share of it that is in the
      mask; for a mask that is empty all patches weigh the same.
    """
    rows, cols = dense.shape[:2]
    if size[0] % rows or size[1] % cols:
        raise ValueError(f"mask pooling: expected {size} in whole patches, got {(rows, cols)}")
    sides = (rows, size[0] // rows, cols, size[1] // cols)

    def shares(logits: Array) -> Array:
        full = resize(logits[None, ..., None], size)[0, ..., 0]
        return inside(full).reshape(sides).mean(axis=(1, 3), dtype=jnp.float32)

    weights = jax.lax.map(shares, mask_logits)
    empty = ~weights.any(axis=(1, 2), keepdims=True)
    weights = jnp.where(empty, 1.0, weights)
    weights = weights / weights.sum(axis=(1, 2), keepdims=True)
    return einsum("qrc,rce->qe", weights, dense.astype(jnp.float32))
