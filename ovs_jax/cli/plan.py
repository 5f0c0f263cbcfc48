r"""Tell, before anyone pays, whether a training step fits a machine and what it costs.

The real training step is compiled for the machine named by --topology, which need not exist: TPU
slices (pip install 'ovs-jax[plan]' brings the compiler) or fake devices of this computer. Equal
layers are compiled as loops, which takes minutes in place of hours; --unrolled compiles the very
program that training runs by default. Times are bounds from published rates, not measurements.

Examples:
  ovs-jax plan --config=ovsegmentor/stage1 --topology=v5p:8x8x16 --batch=32768 \
        --config.step.dtype=bfloat16 --config.objective.tile=32
        1024 chips: memory, arithmetic, communication, time
  ovs-jax plan --config=ovsegmentor/stage1 --topology=v5e:4x4 --records=4300000 \
        --config.step.dtype=bfloat16
        with the hours of the recipe on 4.3 million pairs
  ovs-jax plan --config=ovsegmentor/stage1 --topology=v5e:4x4 --sweep --batch 512 1024 \
        --mesh 16,1,1 4,4,1 --remat none block --config.step.dtype=bfloat16
        a table of what fits
  ovs-jax plan --config=quickstart/stage1 --topology=cpu:8
        eight fake devices: memory and communication, without times
"""

import argparse
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping

logger = logging.getLogger(__name__)
REMATS = ("none", "dots", "block")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of ``ovs-jax plan``."""
    parser.add_argument(
        "--config",
        metavar="NAME[:VARIANT]",
        required=True,
        help="experiment, such as ovsegmentor/stage1; see ovs-jax train --list",
    )
    parser.add_argument(
        "--config.FIELD",
        dest="overrides",
        metavar="VALUE",
        action="append",
        help="set a field of the config, such as --config.step.dtype=bfloat16",
    )
    parser.add_argument(
        "--topology",
        metavar="CHIP:SHAPE",
        required=True,
        nargs="+",
        help="v5e:4x4, v5p:8x8x16, v6e:16x16, cpu:8, ...; several for a table",
    )
    parser.add_argument(
        "--batch", type=int, nargs="+", metavar="N", help="images a step (default: the config's)"
    )
    parser.add_argument(
        "--batch-per-chip", type=int, metavar="N", help="the same by chip, for weak scaling"
    )
    parser.add_argument(
        "--mesh",
        nargs="+",
        metavar="DATA,FSDP,TENSOR",
        help="sizes of the mesh (default: the config's; -1 for all that remain)",
    )
    parser.add_argument("--remat", nargs="+", choices=REMATS, help="default: the config's")
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="try every combination of what is given; by default meshes with fsdp 1, 4 and 16, all "
        "remat policies, the batch and twice the batch",
    )
    parser.add_argument(
        "--records", type=int, default=0, metavar="N", help="pairs there are, for hours of a recipe"
    )
    parser.add_argument(
        "--unrolled", action="store_true", help="compile layer by layer, as training does"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="keep what is printed (plan.txt) and what chips send each other (collectives.txt)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs ``ovs-jax plan``.

    Returns:
      0, or 1 if nothing that was tried fits.
    """
    from ovs_jax.planning import report, step_program, topology

    machines = [topology.topology(name) for name in arguments.topology]
    if len({machine.chip is None for machine in machines}) > 1:
        raise ValueError("--topology: expected TPUs or CPU devices, not both at once")
    largest = max(machines, key=lambda machine: machine.size)
    if largest.chip is None and len(machines) > 1:
        raise ValueError("--topology: expected one number of CPU devices, got several")
    topology.prepare(largest)
    from ovs_jax.training.config import RunConfig
    from ovs_jax.training.flops import training_flops
    from ovs_jax.training.objectives import CaptionObjective

    loaded = experiments.load(arguments.config, arguments.overrides)
    config = from_mapping(RunConfig, loaded.to_dict())
    learns_from_captions = isinstance(config.objective, CaptionObjective)
    pair_flops = float(training_flops(config).total) if learns_from_captions else None
    folder = None if arguments.out is None else Path(arguments.out)
    rows, texts = [], []
    for machine in machines:
        devices = topology.devices(machine)
        for choice in choices(arguments, config, machine.size):
            logger.info("compiling %s for %s", choice, machine.name)
            try:
                compiled = step_program.compile_step(
                    config, choice, devices, scan=not arguments.unrolled
                )
            except step_program.DoesNotFitError as error:
                rows.append((machine, choice, str(error)))
                logger.info("does not fit: %s", error)
                continue
            planned = report.plan_of(compiled, machine, pair_flops=pair_flops)
            rows.append(planned)
            steps = float(config.steps or config.epochs * (arguments.records // choice.batch_size))
            texts.append(report.describe(planned, steps=steps))
            print(texts[-1], flush=True)
            print()
    if len(rows) > 1 or not texts:
        texts.append(report.table(rows))
        print(texts[-1])
    done = [row for row in rows if isinstance(row, report.Planned)]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
        sent = "\n".join(report.communication(planned) for planned in done)
        (folder / "collectives.txt").write_text(sent, encoding="utf-8")
    fitting = [planned for planned in done if planned.fits is not False]
    return 0 if fitting else 1


def choices(arguments: argparse.Namespace, config: Any, chips: int) -> Iterator[Any]:
    """What to try on one machine.

    Args:
      arguments: of the command.
      config: of the run.
      chips: of the machine.

    Yields:
      Choices of mesh, batch and remat policy.

    Raises:
      ValueError: several of one kind without ``--sweep``, or a mesh that does not fill the machine.
    """
    from ovs_jax.planning.step_program import Choice

    sweep = arguments.sweep
    if arguments.batch and arguments.batch_per_chip:
        raise ValueError("--batch-per-chip: expected it or --batch, got both")
    if arguments.batch_per_chip:
        batches = [arguments.batch_per_chip * chips]
    else:
        batches = arguments.batch or [config.batch_size, *([2 * config.batch_size] * sweep)]
    sizes = config.parallel
    if arguments.mesh:
        meshes = [mesh(text, chips) for text in arguments.mesh]
    elif sweep:
        meshes = [(chips // fsdp, fsdp, 1) for fsdp in (1, 4, 16) if chips % fsdp == 0]
    else:
        meshes = [mesh(f"{sizes.data},{sizes.fsdp},{sizes.tensor}", chips)]
    remats = arguments.remat or (REMATS if sweep else (config.step.remat,))
    several = {"--batch": batches, "--mesh": meshes, "--remat": remats}
    for name, values in several.items():
        if len(values) > 1 and not sweep:
            raise ValueError(f"{name}: several values need --sweep, got {len(values)}")
    for shape, batch, remat in itertools.product(meshes, batches, remats):
        yield Choice(shape, batch, remat)


def mesh(text: str, chips: int) -> tuple[int, int, int]:
    """Reads ``data,fsdp,tensor``, one of them perhaps -1.

    Raises:
      ValueError: it does not fill the machine.
    """
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    known = 1
    for size in sizes:
        known *= size if size > 0 else 1
    sizes = [chips // known if size == -1 else size for size in sizes]
    data, fsdp, tensor = sizes if len(sizes) == 3 else (0, 0, 0)
    if data * fsdp * tensor != chips or min(data, fsdp, tensor) < 1:
        raise ValueError(
            f"--mesh: expected three sizes data,fsdp,tensor for {chips} chips, got '{text}'"
        )
    return data, fsdp, tensor
