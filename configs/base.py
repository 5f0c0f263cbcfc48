"""What experiments start from, and what ``:smoke`` makes of any of them."""

from dataclasses import asdict
from typing import Any

from ml_collections import ConfigDict

from ovs_jax.data.synthetic.attributes import ATTRIBUTES, BODIES
from ovs_jax.models import registry
from ovs_jax.training.config import RunConfig
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.mask_objective import MaskObjective, PixelObjective

Config = Any
"""A ConfigDict, whose fields no type checker knows."""


def defaults(model: str, preset: str, **changes: Any) -> Config:
    """The default config of a run with a model of a published size.

    Args:
      model: ``groupvit``, ``ovsegmentor``, or ``zegformer`` and ``zegformer_baseline``, which learn
        from label maps.
      preset: one of the model's sizes.
      changes: fields of the model that differ from the preset.

    Returns:
      A config with every field of `ovs_jax.training.config.RunConfig`, not locked yet. It has
      neither ``steps`` nor ``epochs``.
    """
    objectives = {"zegformer": MaskObjective, "zegformer_baseline": PixelObjective}
    labelled: Any = {}
    if model in objectives:
        labelled = {"objective": objectives[model](), "data": LabelledDataConfig()}
    config = asdict(RunConfig(model={}, steps=1, **labelled))
    config["steps"] = 0
    config["model"] = registry.to_dict(registry.model_config(model, preset, overrides=changes))
    return ConfigDict(config)


def published_optimizer(config: Config) -> None:
    """AdamW as GroupViT and OVSegmentor use it; rates are stated for a batch of 4096."""
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    config.optimizer.epsilon = 1e-8
    config.optimizer.weight_decay = 0.05
    config.optimizer.clip_norm = 5.0
    config.schedule.reference_batch = 4096


def padding_unseen(config: Config) -> None:
    """Texts as short as a batch allows, and nothing that looks at padding; for OVSegmentor."""
    config.data.text_lengths = "buckets"
    config.objective.project_tokens = False
    config.model.mask_padding = True


def synthetic(config: Config) -> None:
    """Training from scratch on the synthetic world, on a CPU."""
    config.batch_size = 128
    config.log_every = 20
    config.schedule.learning_rate = 3e-3
    config.schedule.minimum = 3e-5
    config.schedule.warmup = 3e-5
    config.schedule.warmup_steps = 50
    config.data.augmentation = "none"
    config.data.remember = True
    config.checkpoint.every = 200
    config.evaluation.source = "synthetic"
    config.evaluation.every = 200
    config.evaluation.limit = 200


def smoke(config: Config) -> None:
    """Shrinks an experiment to seconds on a CPU: nano model, small world, a few steps.

    Losses, optimizer, augmentation and every other choice stay those of the experiment.
    """
    model = registry.from_dict(config.model.to_dict())
    flags = {
        name: config.model[name] for name in ("multi_label", "momentum") if name in config.model
    }
    if config.data.kind == "labelled":
        flags = {"embedding": len(ATTRIBUTES)}
    nano = registry.model_config(registry.model_name(model), "nano", overrides=flags)
    config.model = ConfigDict(registry.to_dict(nano))
    config.batch_size = 16
    config.steps, config.epochs = 8, 0.0
    config.log_every = 2
    config.schedule.warmup_epochs, config.schedule.warmup_steps = 0.0, 0
    config.step.accumulate = 1
    config.checkpoint.every = 4
    config.init.checkpoint = config.init.image = config.init.text = ""
    config.data.source = "synthetic"
    config.data.workers = 0
    config.data.world.size = 48
    config.data.world_length = 256
    config.evaluation.source = "synthetic"
    config.evaluation.every = 4
    config.evaluation.limit = 8
    if config.data.kind == "labelled":
        config.data.classes, config.data.dataset = "synthetic", ""
        config.data.text = "attributes"
        config.data.world.colours = BODIES
        config.data.recipe.size, config.data.recipe.short_sides = 64, ()
        config.data.most_classes = 8
    else:
        config.schedule.warmup_steps = 2
        config.data.sets = ()
        config.data.tokenizer = "synthetic"
        config.data.text_length = 32
        config.data.text_lengths = "original"  # one program is enough


def finish(config: Config, variant: str | None, *, known: tuple[str, ...] = ()) -> ConfigDict:
    """Applies ``smoke`` if that is the variant, and locks the config.

    Args:
      config: of the experiment.
      variant: what stood behind the colon, or None.
      known: variants that the experiment has handled itself.

    Raises:
      ValueError: an unknown variant.
    """
    if variant == "smoke":
        smoke(config)
    elif variant is not None and variant not in known:
        raise ValueError(
            f"config: unknown variant '{variant}', expected one of {('smoke', *known)}"
        )
    return config.lock()
