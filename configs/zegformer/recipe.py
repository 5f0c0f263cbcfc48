"""What the published recipes of ZegFormer share (section 5.1)."""

from typing import Any

from .. import base

Config = Any
"""A ConfigDict, whose fields no type checker knows."""

RESNETS = {"resnet50": "data/resnet50", "resnet101": "data/resnet101"}
"""Backbones, and where the weights are that training starts from."""


def published(variant: str | None, *, model: str = "zegformer") -> Config:
    """A run with the published optimizer and schedule, but for steps and data.

    AdamW decays everything, biases and the no-object vector too, but norms and query embeddings;
    the backbone has a tenth of the rate; gradients are clipped to a norm of 0.01, so that all steps
    weigh alike.

    Args:
      variant: ``resnet50``, or anything else for ResNet-101.
      model: ``zegformer``, or ``zegformer_baseline``, which has no queries.
    """
    preset = variant if variant in RESNETS else "resnet101"
    config = base.defaults(model, preset)
    config.batch_size = 32
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip_norm = 0.01
    config.optimizer.rates = (("backbone/.*", 0.1),)
    spared = [r".*norm\d?/(scale|bias)"]
    spared += ["query_embedding"] if model == "zegformer" else []
    config.optimizer.decays = (*((pattern, 0.0) for pattern in spared), (".*", 1e-4))
    config.schedule.shape = "polynomial"
    config.schedule.learning_rate = 1e-4
    config.schedule.power = 0.9
    config.init.checkpoint = RESNETS[preset]
    config.init.rename = ((r"backbone/(.*)", r"\1"),)
    config.init.fresh = (r"(?!backbone/).*",)
    config.data.text = "data/clip"
    config.data.workers = 8
    return config
