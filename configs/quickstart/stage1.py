"""OVSegmentor on the synthetic world, stage 1: contrast, noun prompts and entity completion.

Command:   ovs-jax train --config=quickstart/stage1 --workdir=runs/quickstart/stage1
           (``bash scripts/quickstart.sh`` runs both stages, the evaluation and the pictures)
Variants:  :smoke
Hardware:  two CPU cores.
Cost:      minutes.
Expected:  the README's table has what this code reached, with the command behind each number.
"""

from ml_collections import ConfigDict

from .. import base
from . import model


def get_config(variant: str | None = None) -> ConfigDict:
    config = base.defaults("ovsegmentor", "nano", **model.SIZES)
    base.synthetic(config)
    config.steps = 1400
    config.init.kernels = "fan_in"
    config.objective.multi_label = 1.0
    config.objective.entity = 0.5
    config.objective.share_prompts = True
    config.objective.project_tokens = False
    config.data.prompt_words = "entities"
    config.data.prompt_count = 2
    config.data.text_length = 24
    return base.finish(config, variant)
