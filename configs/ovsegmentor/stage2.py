"""OVSegmentor, stage 2: cross-image mask consistency on top of stage 1, 10 epochs.

Command:   ovs-jax train --config=ovsegmentor/stage2 --workdir=runs/ovsegmentor/stage2
               --config.init.checkpoint=runs/ovsegmentor/stage1
               --config.data.source=CC4M.tsv --config.data.tokenizer=wordpiece:BERT/vocab.txt
Variants:  :buckets (as in stage 1), :vit_small (ViT-S and RoBERTa), :smoke
Hardware:  the paper used 8 GPUs of 128 images each.
Cost:      not measured.
Expected:  mIoU 53.8 VOC21, 20.4 Context60, 25.1 COCO Object, 5.6 ADE150; :vit_small 44.5, 18.3,
           19.0, 4.3 (published, "may vary 3 to 4 points"; this code has not been trained at that
           scale).

The momentum encoder starts as a copy of stage 1's image encoder; the text encoder is frozen.
"""

from ml_collections import ConfigDict

from .. import base


def get_config(variant: str | None = None) -> ConfigDict:
    preset = "vit_small" if variant == "vit_small" else "vit_base"
    config = base.defaults("ovsegmentor", preset, momentum=True)
    base.published_optimizer(config)
    config.batch_size = 1024
    config.epochs = 10.0
    config.schedule.learning_rate = 1e-5
    config.schedule.minimum = 1e-6
    config.optimizer.frozen = ("text_encoder/.*", "momentum_encoder/.*")
    config.step.momentum = 0.99
    config.objective.entity = 1.0
    config.objective.mask = 0.1
    config.data.source = "data/cc4m.tsv"
    config.data.tokenizer = "wordpiece:data/bert/vocab.txt"
    config.data.text_length = 77
    config.data.augmentation = "stage2"
    config.data.workers = 8
    config.init.checkpoint = "runs/ovsegmentor/stage1"
    config.init.rename = ((r"momentum_encoder/(.*)", r"image_encoder/\1"),)
    if variant == "buckets":
        base.padding_unseen(config)
    if variant == "vit_small":
        config.data.tokenizer = "roberta:data/roberta"
    return base.finish(config, variant, known=("buckets", "vit_small"))
