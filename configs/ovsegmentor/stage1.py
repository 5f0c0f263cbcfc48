"""OVSegmentor, stage 1: image-text contrast and masked entity completion on CC4M, 30 epochs.

Command:   ovs-jax train --config=ovsegmentor/stage1 --workdir=runs/ovsegmentor/stage1
               --config.data.source=CC4M.tsv --config.data.tokenizer=wordpiece:BERT/vocab.txt
               --config.init.image=dino:dino_vitbase16_pretrain.pth --config.init.text=bert:BERT
           where CC4M.tsv has the columns ``image`` and ``caption``: CC12M, of which the captions
           with entities are used; BERT is a Hugging Face folder.
Variants:  :buckets (texts padded no further than a batch needs, and what must not see padding
           for that; see below), :vit_small (ViT-S and RoBERTa; set
           --config.data.tokenizer=roberta:FOLDER), :smoke
Hardware:  the paper used 8 GPUs of 256 images each.
Cost:      not measured.
Expected:  no score is published for stage 1 alone; stage 2 starts from it.

The published run starts from DINO ViT-B/16 and pretrained BERT (``ovs-jax zoo`` tells where they
are), as files or as what ``ovs-jax convert`` made of them. With both init fields set to '' the run
starts from scratch, and the published scores are not to be expected.

Published, every text has 77 tokens, and padding is looked at in two places: the entity decoder, and
the running statistics of the projectors, which tokens pass though no loss uses them. With
:buckets neither sees it, so that captions, which are short, cost what they need; what is learned
then differs from the published recipe in these two things.
"""

from ml_collections import ConfigDict

from .. import base


def get_config(variant: str | None = None) -> ConfigDict:
    config = base.defaults("ovsegmentor", "vit_small" if variant == "vit_small" else "vit_base")
    base.published_optimizer(config)
    config.batch_size = 2048
    config.epochs = 30.0
    config.schedule.learning_rate = 6.4e-4
    config.schedule.minimum = 1.6e-4
    config.schedule.warmup = 1.6e-5
    config.schedule.warmup_epochs = 2.0
    config.objective.entity = 1.0
    config.data.source = "data/cc4m.tsv"
    config.data.tokenizer = "wordpiece:data/bert/vocab.txt"
    config.init.image = "dino:data/dino_vitbase16"
    config.init.text = "bert:data/bert"
    config.data.text_length = 77
    config.data.augmentation = "stage1"
    config.data.workers = 8
    if variant == "buckets":
        base.padding_unseen(config)
    if variant == "vit_small":
        config.data.tokenizer = "roberta:data/roberta"
        config.init.image = "dino:data/dino_vitsmall16"
        config.init.text = "roberta:data/roberta"
    return base.finish(config, variant, known=("buckets", "vit_small"))
