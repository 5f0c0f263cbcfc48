"""How fast training steps and evaluation are, and how much memory they take.

    python scripts/bench.py                          ViT-B stage 1, stage 2 and 448 px windows
    python scripts/bench.py --cases stage1 --batch 256 --dtype bfloat16        on an accelerator
    python scripts/bench.py --cases text_lengths --captions FILE.json          stage 1, texts cut
    python scripts/bench.py --cases zegformer        a photo: no CLIP, mask pooling, 100 crops
    python scripts/bench.py --accelerator            bfloat16, the largest batches that fit
    python scripts/bench.py --accelerator --cases stage1 --config.step.attention=cudnn
    python scripts/bench.py --accelerator --smoke --most 16        the same on nano models, to try
    python scripts/bench.py --against-torch          GroupViT here and in PyTorch, in turn

Steps are those of the experiments ``ovsegmentor/stage1`` and ``ovsegmentor/stage2`` on random
images and texts, without the input pipeline. A time is the median of the repeats after warm-up.
Model FLOPs are counted by hand (what is counted stands in ``ovs_jax/training/flops.py``) and
printed beside XLA's own, which has elementwise operations too and counts the body of a loop once.
On an accelerator with a published peak, utilisation is model FLOP/s over that peak. On Linux, a CPU
case's peak memory is that of the timed repeats; on accelerators it is that of the process so far.

--accelerator prints every batch as soon as it is timed and rewrites --json then, so that a run that
is cut off has told what it knows. It compares with PyTorch's GroupViT where torch is installed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark import machine, measure

from ovs_jax import chips
from ovs_jax.cli.config import OVERRIDE
from ovs_jax.cli.main import keep_compiled_programs

TEXT_LENGTHS = "text_lengths"
CASES = ("stage1", "stage2", "evaluation", "zegformer", "zegformer_step", TEXT_LENGTHS)
FIRST, FIRST_NANO = 64, 16
"""Batch that --accelerator begins with, and with --smoke."""
Keep = Callable[[dict[str, Any]], None]


def run_case(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Times one case and returns its row."""
    import jax
    from benchmark import cases, training

    batch, smoke = arguments.batch, arguments.smoke
    if name == cases.EVALUATION:
        case = cases.evaluation_case(batch=batch, smoke=smoke)
    else:
        title = training.variant(cases.TRAINING[name], smoke=smoke)
        config = training.load(
            title, batch=batch, dtype=arguments.dtype, overrides=arguments.overrides
        )
        case = cases.training_case(config, name=title)
    measure.in_turn({"": case.run}, warm_up=arguments.warm_up, repeats=0)
    machine.forget_peak_memory()
    times = measure.in_turn({"": case.run}, warm_up=0, repeats=arguments.repeats)[""]
    device = jax.devices()[0]
    held = (device.memory_stats() or {}).get("peak_bytes_in_use") or machine.peak_memory()
    parts = measure.in_turn(case.parts, warm_up=1, repeats=arguments.repeats) if case.parts else {}
    rate = case.flops.total / times.median
    devices = 1 if name == cases.EVALUATION else jax.device_count()
    peak = chips.peak_flops(device.device_kind, case.dtype)
    return {
        "case": name,
        "what": case.what,
        "batch": case.images,
        "dtype": case.dtype,
        "seconds": times.median,
        "seconds_fastest": times.fastest,
        "seconds_all": times.seconds,
        "seconds_of_parts": {part: value.median for part, value in parts.items()},
        "images_per_second": case.images / times.median,
        "model_flops": case.flops.total,
        "model_flops_forward": case.flops.forward,
        "xla_flops": case.xla_flops,
        "model_flops_per_second": rate,
        "utilisation": None if peak is None else rate / (peak * devices),
        "peak_memory_bytes": held,
        "program_bytes": case.program_bytes,
    }


def run_zegformer(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Times and prints what there is of ZegFormer, for which no FLOPs are counted."""
    from benchmark import zegformer

    rows = []
    options = {"batch": arguments.batch, "dtype": arguments.dtype, "smoke": arguments.smoke}
    for row in zegformer.rows(name, repeats=arguments.repeats, **options):
        rows.append(row)
        print(zegformer.line(row, rows[0]), flush=True)
    return rows


def case_lines(row: dict[str, Any]) -> list[str]:
    per_image = 1000 * row["seconds"] / row["batch"]
    xla, used = row["xla_flops"], row["utilisation"]
    lines = [
        f"{row['case']}: {row['what']}, batch {row['batch']}, {row['dtype']}",
        f"  time            {row['seconds']:.3f} s (fastest {row['seconds_fastest']:.3f}), "
        f"{per_image:.1f} ms an image, {row['images_per_second']:.2f} images/s",
        f"  model FLOPs     {row['model_flops'] / 1e9:.5g} G, of them forward "
        f"{row['model_flops_forward'] / 1e9:.5g} G; XLA counts "
        + ("nothing" if xla is None else f"{xla / 1e9:.5g} G ({xla / row['model_flops']:.3f} x)"),
        f"  model FLOP/s    {row['model_flops_per_second'] / 1e9:.4g} G, utilisation "
        + ("not given (no published peak for this device)" if used is None else f"{used:.1%}"),
        f"  memory          {row['peak_memory_bytes'] / 2**30:.2f} GiB at the peak; the program's "
        f"arguments and temporaries {row['program_bytes'] / 2**30:.2f} GiB",
    ]
    if row["seconds_of_parts"]:
        parts = row["seconds_of_parts"].items()
        listed = ", ".join(f"{part} {1000 * s / row['batch']:.1f} ms" for part, s in parts)
        lines.append(f"  of one window   {listed}")
    return lines


def compare_lengths(arguments: argparse.Namespace) -> dict[str, Any]:
    """Times stage 1 at the fixed length and at those that real captions need; prints the ratio."""
    from benchmark import text_lengths

    found = text_lengths.compare(
        arguments.captions,
        batch=arguments.batch,
        repeats=arguments.repeats,
        dtype=arguments.dtype,
        smoke=arguments.smoke,
        overrides=arguments.overrides,
    )
    cut = ", ".join(f"{times} at {length}" for length, times in found.lengths.items())
    print(
        f"{TEXT_LENGTHS}: {found.what}; {found.tokens:.1f} tokens a caption on average\n"
        f"  fixed length    {found.original.median:.3f} s (median of {arguments.repeats} batches)\n"
        f"  cut to fit      {found.buckets.median:.3f} s ({cut})\n"
        f"  cut / fixed     {found.ratio:.3f} (all batches together)"
    )
    return {
        "case": TEXT_LENGTHS,
        "batch": arguments.batch,
        "dtype": arguments.dtype,
        "seconds_original": found.original.seconds,
        "seconds_buckets": found.buckets.seconds,
        "lengths": found.lengths,
        "ratio": found.ratio,
    }


def accelerate(arguments: argparse.Namespace, environment: dict[str, Any], keep: Keep) -> bool:
    """Finds and times the largest batch of every case; tells of each batch as it is known.

    Returns:
      Whether there is a result of every case; without PyTorch there need be none of it.
    """
    from benchmark import accelerator

    options = accelerator.Options(
        first=arguments.batch,
        most=arguments.most,
        repeats=arguments.repeats,
        smoke=arguments.smoke,
        cut=arguments.cut or accelerator.CUT_LENGTH,
        overrides=arguments.overrides,
        trace=arguments.trace,
    )
    names = arguments.cases or list(accelerator.CASES)
    if unknown := set(names) - set(accelerator.CASES):
        known = ", ".join(accelerator.CASES)
        raise ValueError(f"--cases: expected some of {known}, got {', '.join(sorted(unknown))}")
    found: dict[str, dict[int, accelerator.Rate]] = {}

    def report(rate: accelerator.Rate) -> None:
        if rate.case != accelerator.TORCH:  # which has told already
            print(f"  {rate.case} {rate.line()}", flush=True)
        found.setdefault(rate.case, {})[rate.batch] = rate
        keep(rate.row())

    if accelerator.TORCH in names:  # first: JAX takes the device's memory and keeps it
        names.remove(accelerator.TORCH)
        print(accelerator.torch_rates(options, report), flush=True)
    environment |= machine.describe()
    print(", ".join(f"{name} {value}" for name, value in environment.items()), flush=True)
    complete = True
    for done, line in accelerator.rates(names, options, report):
        complete &= done
        print(line, flush=True)
    if arguments.smoke:
        print("nano models: these rates say that the script runs, and nothing else")
    if (ours := found.get("groupvit_alone")) and (theirs := found.get(accelerator.TORCH)):
        print(accelerator.compared(ours, theirs), flush=True)
    return complete


def compare(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Times GroupViT here and in PyTorch, prints medians and ratios."""
    from benchmark import against_torch

    found, facts = against_torch.comparisons(arguments.batch, arguments.threads)
    print(
        f"GroupViT ViT-S, two stages, {facts['parameters']} parameters, 224 px, 77 tokens, batch "
        f"{arguments.batch}, float32; torch {facts['torch']}, transformers {facts['transformers']}"
    )
    rows = []
    for each in found:
        times = measure.in_turn(each.runs, warm_up=arguments.warm_up, repeats=arguments.repeats)
        median, least, largest = measure.ratios(times["torch"], times["ovs_jax"])
        ours, theirs = times["ovs_jax"].median, times["torch"].median
        print(
            f"{each.name:<14} ovs_jax {ours:.3f} s, torch {theirs:.3f} s; torch / ovs_jax "
            f"{median:.2f} (rounds {least:.2f} to {largest:.2f}); "
            f"{each.flops.total / ours / 1e9:.0f} and {each.flops.total / theirs / 1e9:.0f} "
            "model GFLOP/s"
        )
        rows.append(
            {
                "comparison": each.name,
                "batch": arguments.batch,
                "seconds": {name: value.seconds for name, value in times.items()},
                "torch_over_ovs_jax": median,
                "model_flops": each.flops.total,
            }
        )
    return rows, facts


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="CASE",
        help=f"some of {', '.join(CASES)} (default: the first three); with --accelerator of torch, "
        "stage1, stage1_cut, stage2, groupvit, groupvit_alone, evaluation (default: all)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        help=f"images a step (default 8; --accelerator begins with {FIRST}, "
        f"of nano models {FIRST_NANO})",
    )
    parser.add_argument(
        "--config.FIELD",
        dest="overrides",
        metavar="VALUE",
        help="set a field of the experiments of OVSegmentor and GroupViT",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the training steps; evaluation is in float32",
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed runs (default 5)")
    parser.add_argument("--warm-up", type=int, default=2, help="untimed runs (default 2)")
    parser.add_argument(
        "--captions", type=Path, metavar="JSON", help="for text_lengths: lists of captions by key"
    )
    parser.add_argument("--threads", type=int, help="CPU cores to use; 2 with --against-torch")
    parser.add_argument("--against-torch", action="store_true", help="compare with transformers")
    parser.add_argument(
        "--accelerator", action="store_true", help="every case in bfloat16 at its largest batch"
    )
    parser.add_argument(
        "--most", type=int, default=8192, help="largest batch that --accelerator tries"
    )
    parser.add_argument(
        "--cut", type=int, metavar="TOKENS", help="of stage1_cut (default 48, as real batches need)"
    )
    parser.add_argument(
        "--trace", type=Path, metavar="FOLDER", help="with --accelerator, profile every batch"
    )
    parser.add_argument("--smoke", action="store_true", help="the nano model, to try the script")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers to this file")
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser.parse_args([word for word in given if not word.startswith(OVERRIDE)])
    parsed.overrides = tuple(word for word in given if word.startswith(OVERRIDE))
    if parsed.batch is None:
        parsed.batch = (FIRST_NANO if parsed.smoke else FIRST) if parsed.accelerator else 8
    for name in ("batch", "repeats", "most"):
        if getattr(parsed, name) < 1:
            parser.error(f"--{name}: got {getattr(parsed, name)}, expected at least 1")
    if not parsed.accelerator:
        parsed.cases = parsed.cases or list(CASES[:3])
        if unknown := set(parsed.cases) - set(CASES):
            parser.error(f"--cases: expected some of {', '.join(CASES)}, got {', '.join(unknown)}")
    if TEXT_LENGTHS in (parsed.cases or ()) and parsed.captions is None:
        parser.error(f"--cases {TEXT_LENGTHS}: expected --captions with it")
    if parsed.against_torch:
        parsed.threads = parsed.threads or 2
        if parsed.dtype != "float32" or parsed.smoke:
            parser.error("--against-torch: compares the published size in float32 only")
    return parsed


def main(arguments: list[str] | None = None) -> int:
    """Reads the arguments, measures, prints; 1 with a message if something is missing."""
    parsed = parse(arguments)
    result: dict[str, Any] = {"environment": {}, "rows": []}

    def keep(row: dict[str, Any]) -> None:
        result["rows"].append(row)
        if parsed.json:
            parsed.json.parent.mkdir(parents=True, exist_ok=True)
            parsed.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    try:
        if parsed.threads:
            print(machine.limit_threads(parsed.threads))
        if parsed.accelerator:
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.93")
            if parsed.smoke:  # compiling, not running, is what takes minutes
                os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
            keep_compiled_programs()
            return 0 if accelerate(parsed, result["environment"], keep) else 1
        import jax

        if parsed.against_torch:
            jax.config.update("jax_platforms", "cpu")
        result["environment"] = machine.describe()
        print(", ".join(f"{name} {value}" for name, value in result["environment"].items()))
        if parsed.against_torch:
            rows, facts = compare(parsed)
            result["environment"] |= facts
            for row in rows:
                keep(row)
            return 0
        for name in parsed.cases:
            if name == TEXT_LENGTHS:
                keep(compare_lengths(parsed))
            elif name.startswith("zegformer"):
                for row in run_zegformer(name, parsed):
                    keep(row)
            else:
                row = run_case(name, parsed)
                print("\n".join(case_lines(row)), flush=True)
                keep(row)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
