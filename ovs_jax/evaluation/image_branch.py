"""CLIP's look at the masks of an image: at each one's picture, or at the whole image once.

Facts: ZegFormer, section 3.3. Pooling is an addition: the image encoder runs once in place of a
hundred times.
"""

from typing import Literal

from jaxtyping import Array, Float

from ovs_jax.evaluation.regions import CHUNK, embed_regions, pool_regions, resize
from ovs_jax.models.vision.clip import Clip

Look = Literal["crop", "mask", "crop_mask", "pool"]
"""What CLIP is shown of a mask, see `regions.RegionStyle`; or ``pool``: the whole image, of which
the patches in the mask count."""
LOOKS: tuple[Look, ...] = ("crop", "mask", "crop_mask", "pool")


def embed_masks(
    clip: Clip,
    image: Float[Array, "h w 3"],
    mask_logits: Float[Array, "q rows cols"],
    *,
    look: Look,
    chunk: int = CHUNK,
) -> Float[Array, "q e"]:
    """Embeds the masks of one image.

    Args:
      clip: the frozen model.
      image: normalised with `regions.CLIP_MEAN` and `regions.CLIP_STD`, padded with zeros.
      mask_logits: of any size; brought to that of the padded image.
      look: what CLIP is shown.
      chunk: pictures at a time; pooling has one.

    Returns:
      Image embeddings, not normalised.

    Raises:
      ValueError: an unknown ``look``.
    """
    if look not in LOOKS:
        raise ValueError(f"look: expected one of {LOOKS}, got '{look}'")
    patch = clip.image_encoder.patch_embedding.patch_size
    if look != "pool":
        size = clip.image_encoder.grid * patch
        return embed_regions(
            clip.embed_image, image, mask_logits, style=look, size=size, chunk=chunk
        )
    # Sides are multiples of 32: only a patch that divides none of them makes this a resize.
    height, width = (max(round(side / patch), 1) * patch for side in image.shape[:2])
    if (height, width) != image.shape[:2]:
        image = resize(image[None], (height, width))[0]
    dense = clip.embed_patches(image[None])[0]
    return pool_regions(dense, mask_logits, size=(height, width))
