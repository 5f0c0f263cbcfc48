"""Sizes of OVSegmentor, as published and as small as tests need."""

from dataclasses import dataclass, field, replace

from ovs_jax.models.groupvit.config import NANO, EncoderConfig
from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.text.config import BERT_BASE, ROBERTA_BASE, TextConfig

VIT_BASE = EncoderConfig(
    width=768,
    depths=(6, 6),
    heads=(8, 8),
    group_tokens=(64, 0),
    output_groups=(8,),
    patch_norm=False,
)
VIT_SMALL = replace(VIT_BASE, width=384)


@dataclass(frozen=True)
class OVSegmentorConfig:
    """OVSegmentor.

    Attributes:
      encoder: the grouping encoder, started from DINO in the paper.
      text: the text encoder, BERT or RoBERTa in the paper.
      projector: all three projectors.
      multi_label: whether noun prompts have a temperature of their own, as in GroupViT. The
        published model has no such loss.
      logit_bias: whether the logits of images and texts have a bias, for ``objective.contrast``
        ``sigmoid``. The published model has none.
      entity: whether the masked-entity decoder exists.
      decoder_layers: layers of that decoder.
      decoder_heads: heads of that decoder.
      mask_padding: whether its self-attention ignores the question's padding. The published weights
        were trained without.
      momentum: whether the momentum encoder of stage 2 exists.
    """

    encoder: EncoderConfig = VIT_BASE
    text: TextConfig = BERT_BASE
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    multi_label: bool = False
    logit_bias: bool = False
    entity: bool = True
    decoder_layers: int = 1
    decoder_heads: int = 8
    mask_padding: bool = False
    momentum: bool = False


PRESETS: dict[str, OVSegmentorConfig] = {
    "vit_base": OVSegmentorConfig(),
    "vit_small": OVSegmentorConfig(encoder=VIT_SMALL, text=ROBERTA_BASE),
    "nano": OVSegmentorConfig(
        encoder=replace(
            NANO,
            depths=(1, 1),
            heads=(2, 2),
            group_tokens=(8, 0),
            output_groups=(4,),
            patch_norm=False,
        ),
        text=TextConfig(
            kind="bert", vocabulary=512, length=32, width=32, depth=1, heads=2, hidden=64
        ),
        projector=ProjectorConfig(hidden=64, outputs=32),
    ),
}
"""Published sizes (OVSegmentor, section 4.1) and a nano one."""
