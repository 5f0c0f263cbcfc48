"""What an accelerator does: the largest batches that fit, and the rates they give.

Cases are the published training steps in bfloat16, stage 1 also with its texts cut, GroupViT-S, and
windows of evaluation in float32. GroupViT with the contrastive loss alone is what PyTorch is
compared with: a process of its own times `transformers` before JAX takes the device's memory.
"""

import contextlib
import gc
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax

from benchmark import measure, training
from benchmark.cases import Case, evaluation_case, training_case
from benchmark.search import FullError, largest
from benchmark.torch_groupvit import ALONE, TorchGroupViT
from ovs_jax.chips import peak_flops
from ovs_jax.data.text_lengths import LENGTHS
from ovs_jax.training.caption_task import caption_model
from ovs_jax.training.config import RunConfig, captioned
from ovs_jax.training.flops import training_flops

STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "stage1": ("ovsegmentor/stage1", ()),
    "stage1_cut": ("ovsegmentor/stage1:buckets", ()),
    "stage2": ("ovsegmentor/stage2", ()),
    "groupvit": ("groupvit/gcc_yfcc", ()),
    "groupvit_alone": ("groupvit/gcc_yfcc", ALONE),
}
CUT, TORCH, EVALUATION = "stage1_cut", "torch", "evaluation"
CASES = (TORCH, *STEPS, EVALUATION)
CUT_LENGTH = 48
"""Tokens of the texts of `CUT`: what nearly all batches of 256 and more real captions need."""
MOST_WINDOWS = 256
"""Of evaluation: their label maps are held by the host."""
FULL = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


@dataclass(frozen=True)
class Options:
    """What is asked for.

    Attributes:
      first: batch to begin with, over all devices.
      most: batch to end with.
      repeats: timed runs of each batch.
      smoke: whether to take nano models, to try this out.
      cut: tokens of the texts of `CUT`.
      overrides: ``--config.FIELD=VALUE`` of the training steps.
      trace: folder for one profile of each batch, or None.
    """

    first: int
    most: int
    repeats: int
    smoke: bool
    cut: int = CUT_LENGTH
    overrides: tuple[str, ...] = ()
    trace: Path | None = None


@dataclass(frozen=True)
class Rate:
    """What came out for one batch.

    Attributes:
      case: its name.
      what: what a run does.
      batch: over all devices.
      seconds: the median of the repeats.
      compile_seconds: that compiling took.
      bytes: memory of one device: arguments and temporaries of the program, in PyTorch the peak.
      utilisation: model FLOP/s over the published peak, or None where there is none.
    """

    case: str
    what: str
    batch: int
    seconds: float
    compile_seconds: float
    bytes: int
    utilisation: float | None

    @property
    def per_second(self) -> float:
        """Pairs, images or windows."""
        return self.batch / self.seconds

    def line(self) -> str:
        used = "no published peak" if self.utilisation is None else f"{self.utilisation:.1%}"
        return (
            f"batch {self.batch}: {self.per_second:.1f} a second, utilisation {used}, "
            f"{self.seconds:.4f} s, {self.bytes / 2**30:.2f} GiB, compiled in "
            f"{self.compile_seconds:.0f} s"
        )

    def row(self) -> dict[str, Any]:
        """For the JSON file."""
        return vars(self) | {"per_second": self.per_second}


Report = Callable[[Rate], None]
"""Told of every batch as soon as it is timed."""


def rates(names: list[str], options: Options, report: Report) -> Iterator[tuple[bool, str]]:
    """Every case at its largest batch.

    Args:
      names: of `CASES`, without `TORCH`.
      options: what is asked for.
      report: told of every batch.

    Yields:
      Of each case whether there is a result, and a line on it. What fails does not cost the rest.
    """
    device = jax.devices()[0]
    memory = (device.memory_stats() or {}).get("bytes_limit")
    for name in names:

        def attempt(batch: int, name: str = name) -> Rate:
            gc.collect()  # the arrays of the batch before
            with _full():
                rate = _timed(name, batch, options)
            report(rate)
            return rate

        most = min(options.most, MOST_WINDOWS) if name == EVALUATION else options.most
        try:
            line = _searched(name, attempt, options, most=most, memory=memory)
        except (RuntimeError, ValueError) as error:
            yield False, f"{name}: failed: {_brief(error)}"
        else:
            yield True, line


def torch_rates(options: Options, report: Report) -> str:
    """GroupViT of `transformers`, in a process of its own, at its largest batch.

    Returns:
      A line on it, or on why there is nothing to compare with.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            line, found = pool.submit(_torch_search, options).result()
        except Exception as error:  # whatever it is, it must not cost the rest of the run
            return f"{TORCH}: failed, so nothing to compare with: {_brief(error)}"
    for rate in found:
        report(rate)
    return line


def compared(ours: dict[int, Rate], theirs: dict[int, Rate]) -> str:
    """Both at their largest batch, and at the largest that both had."""
    one, other = ours[max(ours)], theirs[max(theirs)]
    text = (
        f"GroupViT, contrastive loss alone: {one.per_second:.1f} images/s here at batch "
        f"{one.batch}, {other.per_second:.1f} in PyTorch at batch {other.batch}: "
        f"{one.per_second / other.per_second:.2f} x"
    )
    if one.batch == other.batch or not (both := ours.keys() & theirs.keys()):
        return text
    batch = max(both)
    return f"{text}; {theirs[batch].seconds / ours[batch].seconds:.2f} x at batch {batch}"


@contextlib.contextmanager
def _full() -> Iterator[None]:
    """Makes of every way to be out of memory the one error."""
    try:
        yield
    except RuntimeError as error:  # JAX's and PyTorch's derive from it
        if not any(word in str(error) for word in FULL):
            raise
        message = str(error).splitlines()[0]
    else:
        return
    raise FullError(message)  # outside, without the frames that hold the arrays


def _searched(
    name: str,
    attempt: Callable[[int], Rate],
    options: Options,
    *,
    most: int,
    memory: int | None,
) -> str:
    found, allowed = largest(attempt, first=options.first, most=most, memory=memory)
    best = found[max(found)]
    limit = "as many as were allowed" if allowed else "the most that fitted"
    line = f"{name} ({best.what}): {best.line()}; {limit}"
    fastest = max(found.values(), key=lambda rate: rate.per_second)
    if fastest.per_second > 1.02 * best.per_second:
        line += f"; {fastest.per_second:.1f} a second at batch {fastest.batch}"
    return line


def _timed(name: str, batch: int, options: Options) -> Rate:
    case = _case(name, batch, options)
    median = measure.in_turn({"": case.run}, warm_up=2, repeats=options.repeats)[""].median
    if options.trace is not None:
        with jax.profiler.trace(str(options.trace / f"{name}_{batch}")):
            case.run()
    devices = 1 if name == EVALUATION else jax.device_count()
    peak = peak_flops(jax.devices()[0].device_kind, case.dtype)
    return Rate(
        case=name,
        what=f"{case.what}, {case.dtype}",
        batch=batch,
        seconds=median,
        compile_seconds=case.compile_seconds,
        bytes=case.program_bytes,
        utilisation=None if peak is None else case.flops.total / median / (peak * devices),
    )


def _case(name: str, batch: int, options: Options) -> Case:
    if name == EVALUATION:
        return evaluation_case(batch=batch, smoke=options.smoke)
    config = _config(name, batch, options)
    length = captioned(config)[0].text_length
    if name == CUT:
        shorter = [each for each in LENGTHS if each < length]
        length = options.cut if options.cut < length else shorter[-1]
    title = training.variant(STEPS[name][0], smoke=options.smoke)
    return training_case(config, name=title, text_length=length)


def _config(name: str, batch: int, options: Options) -> RunConfig:
    experiment, changes = STEPS[name]
    return training.load(
        training.variant(experiment, smoke=options.smoke),
        batch=batch,
        dtype="bfloat16",
        overrides=(*changes, "--config.step.accumulate=1", *options.overrides),
    )


def _torch_search(options: Options) -> tuple[str, list[Rate]]:
    """In the other process: JAX keeps off the device."""
    jax.config.update("jax_platforms", "cpu")
    try:
        import torch
        import transformers
    except ImportError as error:
        return f"{TORCH}: {error.name} is not installed here, so nothing to compare with", []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.smoke:
        return f"{TORCH}: PyTorch has no accelerator here, so nothing to compare with", []
    # For CPUs inductor has every kernel compiled by g++, many minutes even of a nano model.
    backend = "inductor" if device == "cuda" else "aot_eager"
    memory, kind = None, device
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
        memory = torch.cuda.get_device_properties(0).total_memory
        kind = torch.cuda.get_device_name(0)
    peak = peak_flops(kind, "bfloat16")
    found: list[Rate] = []

    def attempt(batch: int, backend: str | None = backend) -> Rate:
        config = _config("groupvit_alone", batch, options)
        each = training_flops(config).total
        torch.compiler.reset()
        gc.collect()  # the batch before
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        with _full():
            model = TorchGroupViT(
                caption_model(config),
                batch=batch,
                device=device,
                dtype="bfloat16",
                backend=backend,
            )
            compiling = measure.in_turn({"": model.train}, warm_up=0, repeats=1)[""].median
            times = measure.in_turn({"": model.train}, warm_up=2, repeats=options.repeats)[""]
        how = "eager" if backend is None else f"compiled ({backend})"
        rate = Rate(
            case=TORCH,
            what=f"GroupViT of transformers {transformers.__version__}, torch "
            f"{torch.__version__} {how}, bfloat16, {device}",
            batch=batch,
            seconds=times.median,
            compile_seconds=compiling,
            bytes=torch.cuda.max_memory_allocated() if device == "cuda" else 0,
            utilisation=None if peak is None else each * batch / times.median / peak,
        )
        print(f"  {TORCH} {rate.line()}", flush=True)
        found.append(rate)
        return rate

    try:
        line = _searched(TORCH, attempt, options, most=options.most, memory=memory)
    except Exception as error:  # torch.compile's own, of many types
        print(f"  {TORCH}: torch.compile failed, eager instead: {_brief(error)}", flush=True)
        found.clear()
        eager = partial(attempt, backend=None)
        line = _searched(TORCH, eager, options, most=options.most, memory=memory)
    return line, found


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
