"""GroupViT as published: CC3M + CC12M + YFCC14M, two grouping stages, 30 epochs.

Command:   ovs-jax train --config=groupvit/gcc_yfcc --workdir=runs/groupvit
               --config.data.tokenizer=clip:FOLDER
           with the three sets as ``data/gcc3m``, ``data/gcc12m`` and ``data/yfcc14m``, each as
           ``ovs-jax data ingest`` makes it; elsewhere with
               --config.data.sets="[{'source': 'A'}, {'source': 'B'}, {'source': 'C'}]"
Variants:  :redcaps (RedCaps12M in place of YFCC14M, without the multi-label loss), :smoke
Hardware:  the paper used 16 GPUs of 256 images each; batch 4096 needs as much memory in all.
Cost:      about 768 V100-hours (published).
Expected:  mIoU 52.3 VOC21, 22.4 Context60, 24.3 COCO Object; :redcaps 50.8, 23.7, 27.5 (published;
           this code has not been trained at that scale).

The published run computed in float16 with loss scaling; bfloat16 needs none.
"""

from ml_collections import ConfigDict

from .. import base


def get_config(variant: str | None = None) -> ConfigDict:
    config = base.defaults("groupvit", "vit_small")
    base.published_optimizer(config)
    config.batch_size = 4096
    config.epochs = 30.0
    config.schedule.learning_rate = 1.6e-3
    config.schedule.minimum = 4e-5
    config.schedule.warmup = 4e-6
    config.schedule.warmup_epochs = 2.0
    config.step.dtype = "bfloat16"
    config.objective.multi_label = 1.0
    config.objective.project_tokens = False
    config.data.source = ""
    # Without weights, each set has the share of every batch that it has of all records.
    config.data.sets = tuple({"source": f"data/{name}"} for name in ("gcc3m", "gcc12m", "yfcc14m"))
    config.data.tokenizer = "clip:data/clip"
    config.data.text_length = 77
    config.data.text_lengths = "buckets"  # its text encoder is causal: no text sees its padding
    config.data.augmentation = "stage1"
    config.data.prompt_count = 3
    config.data.workers = 8
    if variant == "redcaps":
        names = ("gcc3m", "gcc12m", "redcaps12m")
        config.data.sets = tuple({"source": f"data/{name}"} for name in names)
        config.objective.multi_label = 0.0
        config.model.multi_label = False
    return base.finish(config, variant, known=("redcaps",))
