"""ZegFormer as published on ADE20K-Full: 572 seen and 275 unseen classes, 60 000 steps.

Command:   ovs-jax train --config=zegformer/ade20k_full --workdir=runs/zegformer/ade20k_full
               --config.data.source=ADE20K --config.data.text=CLIP --config.init.checkpoint=RESNET
           where ADE20K is ADE20K_2021_17_01 (or what ``ovs-jax data prepare`` made of it), CLIP and
           RESNET are what ``ovs-jax convert`` made of CLIP ViT-B/16 and of an ImageNet ResNet.
Variants:  :resnet50 (in place of ResNet-101), :smoke
Hardware:  the paper used 8 GPUs of 4 images each.
Cost:      not measured.
Expected:  with ResNet-101 and CLIP's image branch, mIoU of unseen classes 5.3 (published; this code
           has not been trained at that scale).
"""

from ml_collections import ConfigDict

from ovs_jax.data.label_transforms import SHORT_SIDES_512

from .. import base
from . import recipe


def get_config(variant: str | None = None) -> ConfigDict:
    config = recipe.published(variant)
    config.steps = 60_000
    config.data.source = "data/ade20k_full"
    config.data.dataset = config.data.classes = "ade20k_full"
    config.data.prompts = "scene_subset"
    config.data.ignore_label = 65535
    config.data.recipe.size = 512
    config.data.recipe.short_sides = SHORT_SIDES_512
    config.data.recipe.longest = 2048
    config.checkpoint.every = 5000
    return base.finish(config, variant, known=tuple(recipe.RESNETS))
