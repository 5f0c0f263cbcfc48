"""Sizes of GroupViT, as published and as small as tests need."""

from dataclasses import dataclass, field, replace
from typing import Literal

from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.text.config import TextConfig


@dataclass(frozen=True)
class EncoderConfig:
    """A grouping vision transformer (GroupViT, section 3.1).

    Attributes:
      image_size: side of the training images in pixels; sets the grid of position embeddings.
      patch_size: side of a patch in pixels.
      width: channels of every token.
      depths: transformer blocks a stage.
      heads: attention heads a stage, for the blocks and the cross-attention of the grouping block.
      group_tokens: learned group tokens a stage; 0 where the stage does not group (the last one).
      output_groups: segments that leave each grouping stage.
      patch_norm: whether a LayerNorm follows the patch projection.
      patch_hidden: widths of GELU layers within each patch, before its projection; none in the
        published models.
      drop_path: largest stochastic-depth rate; it grows linearly over the blocks.
      assignment: ``hard`` assigns a token to one group, with the gradient of the soft assignment
        (straight-through); ``soft`` shares it among the groups.
      gumbel: whether Gumbel noise is added to the assignment in training.
      group_residual: what a segment adds its values to (equation 6): ``groups``, the group tokens,
        which have seen the whole image; or ``tokens``, the mean of the tokens it takes in, so that
        it tells of its own part of the image only.
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 384
    depths: tuple[int, ...] = (6, 3, 3)
    heads: tuple[int, ...] = (6, 6, 6)
    group_tokens: tuple[int, ...] = (64, 8, 0)
    output_groups: tuple[int, ...] = (64, 8)
    patch_norm: bool = True
    patch_hidden: tuple[int, ...] = ()
    drop_path: float = 0.1
    assignment: Literal["hard", "soft"] = "hard"
    gumbel: bool = True
    group_residual: Literal["groups", "tokens"] = "groups"

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "width", "heads", "output_groups", "patch_hidden"):
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,), default=1) < 1:
                raise ValueError(f"encoder.{name}: expected at least 1, got {value}")
        stages = len(self.depths)
        if not len(self.heads) == len(self.group_tokens) == stages:
            raise ValueError(
                f"encoder: depths {self.depths}, heads {self.heads} and group_tokens "
                f"{self.group_tokens} must name the same number of stages"
            )
        grouping = sum(tokens > 0 for tokens in self.group_tokens)
        if len(self.output_groups) != grouping or any(self.group_tokens[grouping:]):
            raise ValueError(
                f"encoder: expected one of output_groups {self.output_groups} for each stage with "
                f"group tokens {self.group_tokens}, the stages without group tokens last"
            )
        if self.image_size % self.patch_size:
            raise ValueError(
                f"encoder: image_size {self.image_size} is not a multiple of patch_size "
                f"{self.patch_size}"
            )


@dataclass(frozen=True)
class GroupViTConfig:
    """GroupViT: the grouping encoder, a causal text transformer and two projectors.

    Attributes:
      encoder: of images.
      text: of texts.
      projector: both projectors.
      multi_label: whether noun prompts have a temperature of their own.
      logit_bias: whether the logits of images and texts have a bias, for ``objective.contrast``
        ``sigmoid``. The published model has none.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    text: TextConfig = field(default_factory=TextConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    multi_label: bool = True
    logit_bias: bool = False


TWO_STAGE = EncoderConfig()
ONE_STAGE = replace(
    TWO_STAGE, depths=(6, 6), heads=(6, 6), group_tokens=(64, 0), output_groups=(8,)
)
NANO = EncoderConfig(
    image_size=32,
    patch_size=8,
    width=32,
    depths=(1, 1, 1),
    heads=(2, 2, 2),
    group_tokens=(8, 4, 0),
    output_groups=(8, 4),
    drop_path=0.0,
)
PRESETS: dict[str, GroupViTConfig] = {
    "vit_small": GroupViTConfig(),
    "vit_small_one_stage": GroupViTConfig(encoder=ONE_STAGE),
    "nano": GroupViTConfig(
        encoder=NANO,
        text=TextConfig(vocabulary=512, length=32, width=32, depth=1, heads=2, hidden=64),
        projector=ProjectorConfig(hidden=64, outputs=32),
    ),
}
"""Published sizes (GroupViT, section 4.1 and table 4) and a nano one."""
