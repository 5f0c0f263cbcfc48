"""ZegFormer on the synthetic world: 24 seen and 4 unseen classes, minutes on a CPU.

Command:   ovs-jax train --config=zegformer/synthetic --workdir=runs/zegformer/synthetic
           (``bash scripts/quickstart.sh --model zegformer`` evaluates and draws, too)
Variants:  :smoke
Hardware:  two CPU cores.
Cost:      minutes.
Expected:  the README's table has what this code reached, with the command behind each number.

Every kind of object comes in every colour, and each such pair is a class of its own; some of these
have no training masks. Kind and colour take the place of CLIP's text embeddings. Scenes hold one
object before one or two kinds of stuff, and there are three queries: at 64 pixels these see the
image in two by two cells.
"""

from ml_collections import ConfigDict

from ovs_jax.data.synthetic.attributes import ATTRIBUTES, BODIES

from .. import base

OBJECTS = ("fish", "umbrella", "kite", "ball", "book")
STUFF = ("grass", "water", "snow")


def get_config(variant: str | None = None) -> ConfigDict:
    config = base.defaults(
        "zegformer",
        "nano",
        embedding=len(ATTRIBUTES),
        transformer={"queries": 3, "width": 64, "heads": 4, "hidden": 128},
    )
    config.batch_size = 16
    config.steps = 3000
    config.log_every = 100
    config.schedule.learning_rate = 1.5e-3
    config.schedule.minimum = 1e-5
    config.schedule.warmup_steps = 100
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decays = (("class_head/projection/.*", 1.0),)
    config.optimizer.clip_norm = 1.0
    config.objective.valid_mask = True
    config.objective.spare_ignored = True
    config.data.remember = True
    config.data.world.object_classes = OBJECTS
    config.data.world.stuff_classes = STUFF
    config.data.world.colours = BODIES
    config.data.world.max_objects = 1
    config.data.world.coverage = 0.35
    config.data.world_length = 8000
    config.data.recipe.size = 64
    config.data.recipe.short_sides = (64,)
    config.data.recipe.jitter = False
    config.data.most_classes = 3
    config.checkpoint.every = 1000
    config.evaluation.source = "synthetic"
    # At the end alone: scores of a few unseen classes are no base to choose a checkpoint on.
    config.evaluation.every = 0
    config.evaluation.limit = 300
    return base.finish(config, variant)
