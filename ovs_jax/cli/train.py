r"""Train a model, or go on training it, in a folder.

The folder gets config.json, metrics.jsonl and checkpoints/. Give the same command again to resume
after the run was stopped, in whatever way: the result is the same as if it had not been. SIGTERM
and Ctrl-C save first and tell the step; the exit status is then 0 (see --stopped-status) and 130.

Examples:
  ovs-jax train --list
        the experiments there are
  ovs-jax train --config=quickstart/stage1 --workdir=runs/first
        train on the synthetic world
  ovs-jax train --config=quickstart/stage1 --workdir=runs/second --config.optimizer.clip_norm=1
        change any field of the config; --show prints them all
  ovs-jax train --config=ovsegmentor/stage1:smoke --workdir=runs/mine \
        --config.data.source=photos.tsv
        your own photos: a table with the columns image and caption, or a folder
  ovs-jax train --config=quickstart/stage2 --workdir=runs/third \
        --config.init.checkpoint=runs/first
        start from another run's weights
"""

import argparse

from tqdm.contrib.logging import logging_redirect_tqdm

from ovs_jax.cli import config as experiments
from ovs_jax.mapping import from_mapping

STOPPED = 0
"""Exit status of a run that SIGTERM or the cluster has stopped, once it has saved."""
INTERRUPTED = 130
"""Exit status of a run that Ctrl-C has stopped, once it has saved: 128 + SIGINT, for shells."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of ``ovs-jax train``."""
    parser.add_argument(
        "--config",
        metavar="NAME[:VARIANT]",
        help="experiment, such as quickstart/stage1 or ovsegmentor/stage1:smoke, or a Python file",
    )
    parser.add_argument("--workdir", metavar="FOLDER", help="where the run is kept")
    parser.add_argument(
        "--config.FIELD",
        dest="overrides",
        metavar="VALUE",
        action="append",
        help="set a field of the config, such as --config.optimizer.clip_norm=1",
    )
    parser.add_argument(
        "--profile", action="store_true", help="write a trace of a few steps to WORKDIR/profile"
    )
    parser.add_argument(
        "--stopped-status",
        metavar="STATUS",
        type=int,
        default=STOPPED,
        help="exit status after SIGTERM, once the run has saved (default 0); schedulers that take "
        "0 for the end of the work need another one, such as 143",
    )
    parser.add_argument("--list", action="store_true", help="print the experiments and stop")
    parser.add_argument("--show", action="store_true", help="print the config and stop")


def run(arguments: argparse.Namespace) -> int:
    """Runs ``ovs-jax train``.

    Returns:
      0 when the run is finished; ``--stopped-status`` or `INTERRUPTED` when it was asked to stop
      before.
    """
    if arguments.list:
        known = experiments.experiments()
        width = max(len(name) for name in known)
        print("\n".join(f"{name:<{width}}  {summary}" for name, summary in known.items()))
        return 0
    if not arguments.config:
        raise ValueError("--config is missing; --list prints the experiments there are")
    config = experiments.load(arguments.config, arguments.overrides)
    if arguments.show:
        fields = experiments.flatten(config)
        print("\n".join(f"{name} = {value!r}" for name, value in fields.items()))
        return 0
    if not arguments.workdir:
        raise ValueError("--workdir is missing; it names the folder that the run is kept in")
    # Importing JAX takes a while; what is above needs none of it.
    from ovs_jax.training import experiment
    from ovs_jax.training.config import RunConfig

    with logging_redirect_tqdm():
        outcome = experiment.run(
            from_mapping(RunConfig, config.to_dict()), arguments.workdir, profile=arguments.profile
        )
    if outcome.finished:
        return 0
    print(f"stopped at step {outcome.step}, which is saved; the same command goes on from there")
    return INTERRUPTED if outcome.interrupted else arguments.stopped_status
