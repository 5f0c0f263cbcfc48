"""What is timed of ZegFormer: a photo with each look of CLIP at its masks; the training step."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmark import measure, training
from benchmark.training import Trainer
from ovs_jax.evaluation.mask_segmenter import (
    BoundModel,
    ClipClassifier,
    MaskSegmenter,
    PlainEmbedder,
)
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol, zero_shot_protocol
from ovs_jax.models import registry
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.models.zegformer.config import ZegFormerConfig
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training.mask_objective import MaskObjective

PHOTO, STEP = "zegformer", "zegformer_step"
CASES = (PHOTO, STEP)
ROLES: dict[str, dict[str, Any]] = {
    "no CLIP": {"fusion": Fusion("segment")},
    "mask pooling": {"look": "pool"},
    "100 crops": {"look": "crop_mask"},
}
"""Who names the masks of a photo."""
LANDSCAPE = (480, 640)
"""Rows and columns of the photo; it is seen at 640 by 853, filled up to 640 by 864."""


class _Clip(ClipClassifier):
    """Class names are embedded once for a whole data set and are not timed."""

    def embed_classes(self, names: Any, *, templates: Any) -> np.ndarray:
        del templates
        return _unit(len(names), self.width)


def rows(name: str, *, batch: int, dtype: str, repeats: int, smoke: bool) -> Iterator[dict]:
    """Times a case; one row for each thing timed, the first time of a program left out."""
    found = _photo(smoke=smoke) if name == PHOTO else _step(batch=batch, dtype=dtype, smoke=smoke)
    for what, images, run in found:
        used: list[float] = []

        def timed(run: Callable[[], None] = run, used: list[float] = used) -> None:
            before = time.process_time()
            run()
            used.append(time.process_time() - before)

        times = measure.in_turn({"": timed}, warm_up=1, repeats=repeats)[""]
        yield {
            "case": name,
            "what": what,
            "batch": images,
            "dtype": dtype if name == STEP else "float32",
            "seconds": times.median,
            "seconds_fastest": times.fastest,
            "seconds_all": times.seconds,
            "processor_seconds": statistics.median(used[1:]),
        }


def line(row: dict[str, Any], first: dict[str, Any]) -> str:
    """A row in words; ``first`` is what it is compared with.

    Processor time (of all cores together) tells more than the clock where others use the machine.
    """
    each, busy = (row[name] / row["batch"] for name in ("seconds", "processor_seconds"))
    text = f"{row['case']}: {row['what']}: {each:.3f} s an image, {busy:.3f} s of processor time"
    ratio = row["processor_seconds"] / first["processor_seconds"]
    return text if row is first else f"{text}, {ratio:.2f} x {first['what'].split(':')[0]}"


def _photo(*, smoke: bool) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """One photo with the 171 classes of COCO-Stuff, from pixels to a class for each of them."""
    preset, clip_config = "nano" if smoke else "resnet50", ClipConfig()
    if smoke:
        image = VisionConfig(image_size=32, patch_size=16, width=32, depth=1, heads=2, hidden=64)
        clip_config = ClipConfig(image=image, text=clip_config.text, embedding=32)
    config = registry.model_config("zegformer", preset)
    unit = _unit(171, config.embedding)
    clip = _Clip(_random(clip_config), load_tokenizer("synthetic"))
    rules = zero_shot_protocol("zegformer_resnet50", "coco_stuff")
    segmenter = MaskSegmenter(
        _random(config), text=PlainEmbedder(lambda names: unit), clip=clip, defaults=rules
    )
    photo = np.random.default_rng(0).integers(0, 256, (*LANDSCAPE, 3), np.uint8)
    size = 64 if smoke else rules.short_side
    for name, changes in ROLES.items():
        protocol = replace(rules, short_side=size, long_side=4 * size, **changes)

        def run(protocol: ZeroShotProtocol = protocol) -> None:
            for _, painting in segmenter.paintings([protocol.prepared(photo)], protocol):
                painting.labels()

        yield f"{name}: {preset}, CLIP ViT-B/16, short side {size}, 171 classes", 1, run


def _step(*, batch: int, dtype: str, smoke: bool) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """The training step of COCO-Stuff on random images with eight masks each."""
    name = "zegformer/synthetic:smoke" if smoke else "zegformer/coco_stuff:resnet50"
    config = training.load(name, batch=batch, dtype=dtype)
    model, objective = registry.from_dict(config.model), config.objective
    if not isinstance(model, ZegFormerConfig) or not isinstance(objective, MaskObjective):
        raise ValueError(f"{name}: expected a ZegFormer")
    trainer = Trainer(config, objective=partial(objective, class_unit=_unit(156, model.embedding)))
    size, rng = config.data.recipe.size, np.random.default_rng(0)
    stripes = np.repeat(np.arange(8, dtype=np.int32), size // 8)
    classes = np.full((batch, config.data.most_classes), -1, np.int32)
    classes[:, :8] = np.arange(8)
    arrays = trainer.place(
        {
            "image": rng.integers(0, 256, (batch, size, size, 3), np.uint8),
            "label": np.broadcast_to(stripes, (batch, size, size)).copy(),
            "classes": classes,
        }
    )
    yield f"{name} training step, {size} px, 8 masks an image", batch, partial(trainer.run, arrays)


def _unit(count: int, width: int) -> np.ndarray:
    rows = np.random.default_rng(1).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _random(config: registry.AnyConfig) -> BoundModel:
    return BoundModel(*functional.init(registry.build(config), jax.random.key(0)))
