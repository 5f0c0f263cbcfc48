"""OVSegmentor on the synthetic world, stage 2: cross-image mask consistency on top of stage 1.

Command:   ovs-jax train --config=quickstart/stage2 --workdir=runs/quickstart/stage2
               --config.init.checkpoint=runs/quickstart/stage1
Variants:  :smoke
Hardware:  two CPU cores.
Cost:      minutes.
Expected:  the README's table has what this code reached, with the command behind each number.
"""

from ml_collections import ConfigDict

from .. import base
from . import model


def get_config(variant: str | None = None) -> ConfigDict:
    config = base.defaults("ovsegmentor", "nano", momentum=True, **model.SIZES)
    base.synthetic(config)
    config.steps = 250
    config.schedule.learning_rate = 3e-4
    config.schedule.minimum = 3e-5
    config.schedule.warmup_steps = 0
    config.optimizer.frozen = ("text_encoder/.*", "momentum_encoder/.*")
    config.objective.multi_label = 1.0
    config.objective.entity = 0.5
    config.objective.share_prompts = True
    config.objective.project_tokens = False
    config.data.prompt_words = "entities"
    config.data.prompt_count = 2
    config.data.text_length = 24
    config.objective.mask = 0.1
    config.objective.mask_reduction = "mean"
    config.init.checkpoint = "runs/quickstart/stage1"
    config.init.rename = ((r"momentum_encoder/(.*)", r"image_encoder/\1"),)
    return base.finish(config, variant)
