"""What is timed: the real training steps of the published experiments, and the real segmenter."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from ovs_jax import parallel
from ovs_jax.cli import config as experiments
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.sliding import Geometry, prepare
from ovs_jax.mapping import from_mapping
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.class_sets import class_set
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training import experiment, flops
from ovs_jax.training import state as states
from ovs_jax.training.config import RunConfig
from ovs_jax.training.step import StepConfig, make_step
from ovs_jax.typing import Batch

TRAINING = {"stage1": "ovsegmentor/stage1", "stage2": "ovsegmentor/stage2"}
EVALUATION = "evaluation"
NAMES = (*TRAINING, EVALUATION)
BACKGROUND = 0.85


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Attributes:
      name: for the table.
      what: one line on what a run does.
      images: images (or windows) of a run.
      dtype: of the computation.
      run: does the work once and waits for it.
      flops: model FLOPs of a run.
      xla_flops: what XLA counts for the same program, all devices together; None if it does not.
      program_bytes: arguments and temporaries of the program on one device.
      parts: things that a run consists of, to be timed apart.
    """

    name: str
    what: str
    images: int
    dtype: str
    run: Callable[[], None]
    flops: flops.Flops
    xla_flops: float | None
    program_bytes: int
    parts: dict[str, Callable[[], None]]


def training_case(name: str, *, batch: int, dtype: str, smoke: bool = False) -> Case:
    """The training step of a published experiment on random images and texts."""
    variant = TRAINING[name] + (":smoke" if smoke else "")
    config = from_mapping(RunConfig, experiments.load(variant).to_dict())
    config = replace(config, batch_size=batch, step=replace(config.step, dtype=dtype))
    model = registry.from_dict(config.model)
    plan = experiment.make_plan(
        config, experiment.make_mesh(config), steps=1000, steps_per_epoch=100
    )
    length = config.data.text_length
    arrays = parallel.shard_batch(random_batch(model, config, length), plan.mesh)
    settings = StepConfig(dtype=dtype, momentum=config.step.momentum)
    step = make_step(plan, config.objective, settings).lower(plan.shapes, arrays).compile()
    state = [states.scratch(plan, 0)]

    def run() -> None:
        state[0], metrics = step(state[0], arrays)
        jax.block_until_ready((state[0], metrics))

    frozen = [(pattern, True) for pattern in config.optimizer.frozen]
    counted = flops.training(
        model,
        config.objective,
        text_length=length,
        text_trained=not functional.match(["text_encoder/"], frozen, False)["text_encoder/"],
        prompts=config.data.prompt_count,
    )
    return Case(
        name=name,
        what=f"{variant} training step, {model.encoder.image_size} px, {length} tokens a text",
        images=batch,
        dtype=dtype,
        run=run,
        flops=counted * batch,
        xla_flops=xla_flops(step, plan.mesh.size),
        program_bytes=program_bytes(step),
        parts={},
    )


def random_batch(model: registry.ModelConfig, config: RunConfig, length: int) -> Batch:
    """Every entry that the objective needs, from a normal distribution and random token ids."""
    rng = np.random.default_rng(0)
    size, vocabulary, batch = model.encoder.image_size, model.text.vocabulary, config.batch_size

    def images() -> np.ndarray:
        return rng.standard_normal((batch, size, size, 3), np.float32)

    def texts(*shape: int) -> dict[str, np.ndarray]:
        kept = rng.integers(length // 4, length + 1, shape)
        ids = rng.integers(5, vocabulary, (*shape, length)).astype(np.int32)
        return {"ids": ids, "mask": np.arange(length) < kept[..., None]}

    objective = config.objective
    arrays: dict[str, Any] = {"image": images(), "caption": texts(batch)}
    if objective.multi_label:
        arrays["prompts"] = texts(batch, config.data.prompt_count)
    if objective.entity:
        arrays |= {"question": texts(batch), "answer": texts(batch)}
    if objective.mask:
        arrays |= {"cross_image": images(), "cross_entity": texts(batch)}
    return arrays


def evaluation_case(*, batch: int, smoke: bool = False) -> Case:
    """Windows of random images through the segmenter: encode, score against 21 classes, label."""
    variant = TRAINING["stage1"] + (":smoke" if smoke else "")
    config = from_mapping(RunConfig, experiments.load(variant).to_dict())
    model = registry.from_dict(config.model)
    window = 2 * model.encoder.image_size
    static, params, stats = functional.init(registry.build(model), jax.random.key(0))
    segmenter = GroupSegmenter(
        static,
        params,
        stats,
        tokenizer=load_tokenizer("synthetic"),
        text_length=model.text.length,
    )
    geometry = Geometry(window=window, stride=window // 2, short_side=window)
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (window, window, 3), np.uint8) for _ in range(batch)]
    images = [prepare(image, geometry) for image in pixels]
    bank = segmenter.bank(class_set("voc21"), background=BACKGROUND)
    described = list(segmenter.describe(images, batch_size=batch))

    def encode() -> None:
        list(segmenter.describe(images, batch_size=batch))

    def paint() -> None:
        for each in described:
            segmenter.paint(each, bank).labels()

    def run() -> None:
        for each in segmenter.describe(images, batch_size=batch):
            segmenter.paint(each, bank).labels()

    def features(params: Any, stats: Any, windows: Any) -> Any:
        return functional.bind(static, params, stats).segment_features(windows)

    batched = np.concatenate([image.pixels for image in images])
    program = jax.jit(features).lower(params, stats, batched).compile()
    return Case(
        name=EVALUATION,
        what=f"{registry.model_name(model)}: {window} px windows, encoded and labelled with "
        "21 classes, one image a window; FLOPs are those of encoding",
        images=batch,
        dtype="float32",
        run=run,
        flops=flops.segmentation(model, window) * batch,
        xla_flops=xla_flops(program, 1),
        program_bytes=program_bytes(program),
        parts={"encode": encode, "paint": paint},
    )


def xla_flops(program: Any, devices: int) -> float | None:
    """XLA's own count, elementwise operations included; the body of a loop counts once."""
    counted = (program.cost_analysis() or {}).get("flops")
    return None if counted is None else counted * devices


def program_bytes(program: Any) -> int:
    """Arguments and temporaries of a compiled program on one device."""
    memory = program.memory_analysis()
    return 0 if memory is None else memory.argument_size_in_bytes + memory.temp_size_in_bytes
