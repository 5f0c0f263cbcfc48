"""What is timed: the real training steps of the published experiments, and the real segmenter."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from benchmark import training
from benchmark.training import Trainer
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.sliding import Geometry, prepare
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.text.class_sets import class_set
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training import flops
from ovs_jax.training.caption_task import batch_fields, caption_model, image_dtype
from ovs_jax.training.config import RunConfig, captioned
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
      compile_seconds: that compiling the program took; little where it was compiled before.
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
    compile_seconds: float
    parts: dict[str, Callable[[], None]]


def training_case(config: RunConfig, *, name: str, text_length: int | None = None) -> Case:
    """A training step on random images and texts.

    Args:
      config: of the run, from `training.load`.
      name: of the experiment.
      text_length: tokens of every text; the config's if not given.
    """
    model = caption_model(config)
    length = text_length or captioned(config)[0].text_length
    trainer = Trainer(config)
    arrays = trainer.place(random_batch(model, config, length))
    program, seconds = trainer.compile(arrays)
    return Case(
        name=name,
        what=f"{name} training step, {model.encoder.image_size} px, {length} tokens a text",
        images=config.batch_size,
        dtype=config.step.dtype,
        run=lambda: trainer.run(arrays, program),
        flops=flops.training_flops(config, text_length=length) * config.batch_size,
        xla_flops=xla_flops(program, trainer.plan.mesh.size),
        program_bytes=program_bytes(program),
        compile_seconds=seconds,
        parts={},
    )


def random_batch(model: registry.CaptionModelConfig, config: RunConfig, length: int) -> Batch:
    """Every entry that the objective needs: random images as training has them, random ids."""
    rng = np.random.default_rng(0)
    size, vocabulary, batch = model.encoder.image_size, model.text.vocabulary, config.batch_size
    data, objective = captioned(config)

    def images() -> np.ndarray:
        if image_dtype(data) == np.uint8:
            return rng.integers(0, 256, (batch, size, size, 3), np.uint8)
        return rng.standard_normal((batch, size, size, 3), np.float32)

    def texts(*shape: int) -> dict[str, np.ndarray]:
        kept = rng.integers(length // 4, length + 1, shape)
        ids = rng.integers(5, vocabulary, (*shape, length)).astype(np.int32)
        return {"ids": ids, "mask": np.arange(length) < kept[..., None]}

    return {
        name: images() if name.endswith("image")
        else texts(batch, data.prompt_count) if name == "prompts"
        else texts(batch)
        for name in batch_fields(objective)
    }  # fmt: skip


def evaluation_case(*, batch: int, smoke: bool = False) -> Case:
    """Windows of random images through the segmenter: encode, score against 21 classes, label."""
    name = training.variant(TRAINING["stage1"], smoke=smoke)
    config = training.load(name, batch=batch, dtype="float32")
    model = caption_model(config)
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
    begin = time.perf_counter()
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
        compile_seconds=time.perf_counter() - begin,
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
