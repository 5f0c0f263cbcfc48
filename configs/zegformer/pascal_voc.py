"""ZegFormer as published on PASCAL VOC: 15 seen and 5 unseen classes, 10 000 steps.

Command:   ovs-jax train --config=zegformer/pascal_voc --workdir=runs/zegformer/pascal_voc
               --config.data.source=VOCdevkit --config.data.text=CLIP
               --config.init.checkpoint=RESNET
           where VOCdevkit has the extra annotations (``trainaug``), CLIP and RESNET are what
           ``ovs-jax convert`` made of CLIP ViT-B/16 and of an ImageNet ResNet.
Variants:  :resnet50 (in place of ResNet-101), :smoke
Hardware:  the paper used 8 GPUs of 4 images each.
Cost:      not measured.
Expected:  with ResNet-101 and CLIP's image branch, mIoU of seen 86.4, unseen 63.6, harmonic 73.3
           (published, "not stable"; this code has not been trained at that scale).
"""

from ml_collections import ConfigDict

from ovs_jax.data.label_transforms import SHORT_SIDES_512

from .. import base
from . import recipe


def get_config(variant: str | None = None) -> ConfigDict:
    config = recipe.published(variant)
    config.steps = 10_000
    config.data.source = "data/VOCdevkit"
    config.data.dataset, config.data.split = "voc20", "trainaug"
    config.data.classes = "pascal_voc"
    config.data.prompts = "scene"
    config.data.recipe.size = 512
    config.data.recipe.short_sides = SHORT_SIDES_512
    config.data.recipe.longest = 2048
    config.checkpoint.every = 2000
    return base.finish(config, variant, known=tuple(recipe.RESNETS))
