"""What an accelerator does: the largest batches that fit, and the rates they give.

Cases are the published training steps in bfloat16, stage 1 also with its texts cut, GroupViT-S, and
windows of evaluation. A batch is doubled until the device has no memory left, and the largest that
fitted is timed.
"""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax

from benchmark import measure
from benchmark.cases import Case, evaluation_case, random_batch, xla_flops
from benchmark.cases import program_bytes as bytes_of
from ovs_jax import parallel
from ovs_jax.chips import peak_flops
from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping
from ovs_jax.models import registry
from ovs_jax.training import experiment, flops
from ovs_jax.training import state as states
from ovs_jax.training.config import RunConfig
from ovs_jax.training.step import StepConfig, make_step

CUT = 32
"""Tokens that the texts of `stage1, cut` are cut to: what batches of real captions need mostly."""
STEPS: dict[str, tuple[str, int | None]] = {
    "stage1": ("ovsegmentor/stage1", None),
    "stage1, cut": ("ovsegmentor/stage1:buckets", CUT),
    "stage2": ("ovsegmentor/stage2", None),
    "groupvit": ("groupvit/gcc_yfcc", None),
}
FULL = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


@dataclass(frozen=True)
class Rate:
    """What came out for one case.

    Attributes:
      case: its name.
      batch: the largest that fitted (or that was allowed), over all devices.
      limited: whether the next one would have fitted for all that is known.
      per_second: pairs, images or windows.
      utilisation: model FLOP/s over the published peak, or None where there is none.
      seconds: the median of the repeats.
    """

    case: str
    batch: int
    limited: bool
    per_second: float
    utilisation: float | None
    seconds: float

    def line(self) -> str:
        used = "no published peak" if self.utilisation is None else f"{self.utilisation:.1%}"
        limit = ", as many as were allowed" if self.limited else ", the most that fitted"
        return (
            f"{self.case}: {self.per_second:.1f} a second, utilisation {used}, "
            f"{self.seconds:.3f} s at batch {self.batch}{limit}"
        )


def step_case(name: str, *, batch: int, smoke: bool) -> Case:
    """A training step in bfloat16, its layers' activations kept."""
    experiment_name, cut = STEPS[name]
    variant = experiment_name.partition(":")[0] + ":smoke" if smoke else experiment_name
    config = from_mapping(RunConfig, experiments.load(variant).to_dict())
    config = replace(
        config, batch_size=batch, step=replace(config.step, dtype="bfloat16", accumulate=1)
    )
    model = registry.from_dict(config.model)
    plan = experiment.make_plan(
        config, experiment.make_mesh(config), steps=1000, steps_per_epoch=100
    )
    length = min(cut or config.data.text_length, config.data.text_length)
    arrays = parallel.shard_batch(random_batch(model, config, length), plan.mesh)
    settings = StepConfig(dtype="bfloat16", momentum=config.step.momentum)
    step = make_step(plan, config.objective, settings).lower(plan.shapes, arrays).compile()
    state = [states.scratch(plan, 0)]

    def run() -> None:
        state[0], metrics = step(state[0], arrays)
        jax.block_until_ready((state[0], metrics))

    per_image = flops.training_flops(config, text_length=length)
    return Case(
        name=name,
        what=f"{variant}, {length} tokens a text",
        images=batch,
        dtype="bfloat16",
        run=run,
        flops=flops.Flops(int(per_image * batch)),
        xla_flops=xla_flops(step, plan.mesh.size),
        program_bytes=bytes_of(step),
        parts={},
    )


def rates(*, first: int, most: int, repeats: int, smoke: bool) -> Iterator[Rate]:
    """Every case at its largest batch.

    Args:
      first: batch to begin with, over all devices.
      most: batch to end with.
      repeats: timed runs of each batch.
      smoke: whether to take nano models, to try this out.
    """
    for name in STEPS:
        yield largest(
            lambda batch, name=name: step_case(name, batch=batch, smoke=smoke),
            name=name, first=first, most=most, repeats=repeats, devices=jax.device_count(),
        )  # fmt: skip
    yield largest(
        lambda batch: evaluation_case(batch=batch, smoke=smoke),
        name="evaluation", first=first, most=most, repeats=repeats, devices=1,
    )  # fmt: skip


def largest(
    make: Callable[[int], Case], *, name: str, first: int, most: int, repeats: int, devices: int
) -> Rate:
    """Doubles a case's batch until it does not fit; tells of the last that did.

    Raises:
      ValueError: not even the first fitted.
    """
    found: Rate | None = None
    batch = first
    while batch <= most:
        try:
            case = make(batch)
            times = measure.in_turn({"": case.run}, warm_up=2, repeats=repeats)[""]
        except jax.errors.JaxRuntimeError as error:
            if not any(word in str(error) for word in FULL):
                raise
            break
        finally:
            gc.collect()  # the arrays of the case before
        peak = peak_flops(jax.devices()[0].device_kind, case.dtype)
        rate = case.flops.total / times.median
        found = Rate(
            case=f"{name} ({case.what})",
            batch=batch,
            limited=2 * batch > most,
            per_second=batch / times.median,
            utilisation=None if peak is None else rate / (peak * devices),
            seconds=times.median,
        )
        del case
        batch *= 2
    else:
        if found is not None:
            return found
    if found is None:
        raise ValueError(f"--accelerator: {name} does not fit at batch {first}; give a smaller one")
    return replace(found, limited=False)


def as_rows(found: list[Rate]) -> list[dict[str, Any]]:
    """For the JSON file."""
    return [vars(rate) for rate in found]
