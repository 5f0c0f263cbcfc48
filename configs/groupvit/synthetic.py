"""GroupViT on the synthetic world: contrast and noun prompts, minutes on a CPU.

Command:   ovs-jax train --config=groupvit/synthetic --workdir=runs/groupvit/synthetic
Variants:  :smoke
Hardware:  two CPU cores.
Cost:      minutes.
Expected:  the README's table has what this code reached, with the command behind each number.
"""

from ml_collections import ConfigDict

from .. import base


def get_config(variant: str | None = None) -> ConfigDict:
    config = base.defaults(
        "groupvit",
        "nano",
        encoder={
            "image_size": 64,
            "patch_size": 8,
            "width": 64,
            "depths": (1, 0),
            "heads": (4, 4),
            "group_tokens": (8, 0),
            "output_groups": (8,),
        },
        text={"width": 64, "depth": 2, "heads": 4, "hidden": 256},
        projector={"hidden": 0, "outputs": 64},
    )
    base.synthetic(config)
    config.steps = 600
    config.objective.multi_label = 1.0
    config.objective.project_tokens = False
    return base.finish(config, variant)
