"""ZegFormer as published on COCO-Stuff: 156 seen and 15 unseen classes, 60 000 steps.

Command:   ovs-jax train --config=zegformer/coco_stuff --workdir=runs/zegformer/coco_stuff
               --config.data.source=COCO --config.data.text=CLIP --config.init.checkpoint=RESNET
           where COCO is the official download (or what ``ovs-jax data prepare`` made of it), CLIP
           and RESNET are what ``ovs-jax convert`` made of CLIP ViT-B/16 and of an ImageNet ResNet.
Variants:  :resnet50 (in place of ResNet-101), :smoke
Hardware:  the paper used 8 GPUs of 4 images each.
Cost:      not measured.
Expected:  with ResNet-101 and CLIP's image branch, mIoU of seen 36.6, unseen 33.2, harmonic 34.8
           (published; this code has not been trained at that scale).

The published run computed in float16 with loss scaling; bfloat16 needs none, and class logits are
float32 in any case.
"""

from ml_collections import ConfigDict

from .. import base
from . import recipe


def get_config(variant: str | None = None) -> ConfigDict:
    config = recipe_of(variant, model="zegformer")
    return base.finish(config, variant, known=tuple(recipe.RESNETS))


def recipe_of(variant: str | None, *, model: str) -> recipe.Config:
    """COCO-Stuff as published, for ZegFormer or its per-pixel baseline; not locked."""
    config = recipe.published(variant, model=model)
    config.steps = 60_000
    config.step.dtype = "bfloat16"
    config.data.source = "data/coco_stuff"
    config.data.dataset = config.data.classes = "coco_stuff"
    config.data.prompts = "scene_subset"
    config.data.recipe.size = 640
    config.data.recipe.longest = 2560
    config.checkpoint.every = 5000
    return config
