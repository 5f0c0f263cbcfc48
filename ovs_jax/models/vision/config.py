"""Sizes of plain vision transformers and of CLIP."""

from dataclasses import dataclass, field
from typing import Literal

from ovs_jax.models.text.config import TextConfig


@dataclass(frozen=True)
class VisionConfig:
    """A vision transformer with a class token (Dosovitskiy et al., 2021).

    Attributes:
      image_size: side of the training images in pixels; sets the grid of position embeddings.
      patch_size: side of a patch in pixels.
      width: channels of every token.
      depth: transformer blocks.
      heads: attention heads.
      hidden: channels inside the MLPs.
      activation: of the MLPs.
      eps: of every LayerNorm: 1e-6 for DINO and ImageNet models, 1e-5 for CLIP.
      pre_norm: whether a LayerNorm stands before the blocks, as in CLIP.
      patch_bias: whether the patch projection has a bias, which CLIP's has not.
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    activation: Literal["gelu", "quick_gelu"] = "gelu"
    eps: float = 1e-6
    pre_norm: bool = False
    patch_bias: bool = True

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ValueError(
                f"vision: image_size {self.image_size} is not a multiple of patch_size "
                f"{self.patch_size}"
            )


@dataclass(frozen=True)
class ClipConfig:
    """CLIP with a vision transformer (Radford et al., 2021).

    Attributes:
      image: the image encoder.
      text: the text encoder.
      embedding: channels of the shared space.
    """

    image: VisionConfig = field(
        default_factory=lambda: VisionConfig(
            activation="quick_gelu", eps=1e-5, pre_norm=True, patch_bias=False
        )
    )
    text: TextConfig = field(
        default_factory=lambda: TextConfig(kind="clip", width=512, heads=8, hidden=2048)
    )
    embedding: int = 512
