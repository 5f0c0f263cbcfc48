"""The per-pixel zero-shot baseline of the ZegFormer paper (SPNet-FPN) on COCO-Stuff.

Command:   ovs-jax train --config=zegformer/pixel_baseline --workdir=runs/zegformer/pixel_baseline
               --config.data.source=COCO --config.data.text=CLIP --config.init.checkpoint=RESNET
           with the same folders as ``zegformer/coco_stuff``
Variants:  :resnet101 (in place of ResNet-50), :smoke
Hardware:  the paper used 8 GPUs of 4 images each.
Cost:      not measured.
Expected:  with ResNet-50 and CLIP's texts, mIoU of unseen classes 11.0, harmonic 16.4 (published;
           this code has not been trained at that scale).

Every pixel is compared with every text; there are neither masks nor queries. Optimizer, schedule
and data are those of ZegFormer.
"""

from ml_collections import ConfigDict

from .. import base
from . import coco_stuff, recipe


def get_config(variant: str | None = None) -> ConfigDict:
    resnet = variant if variant in recipe.RESNETS else "resnet50"
    config = coco_stuff.recipe_of(resnet, model="zegformer_baseline")
    return base.finish(config, variant, known=tuple(recipe.RESNETS))
