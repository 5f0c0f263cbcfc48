"""The command ``ovs-jax``: finds the subcommand, reads arguments, turns errors into one line."""

import argparse
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import ovs_jax
from ovs_jax.cli.config import OVERRIDE

COMMANDS = {
    "train": "train a model from images and captions",
    "evaluate": "score a trained model on labelled images",
    "segment": "segment photos with words",
    "data": "look at data, and prepare it",
    "convert": "take published weights in, and give weights out",
    "plan": "tell what a training step needs of a machine, before it is rented",
    "zoo": "list the public weights that are known",
}
DESCRIPTION = """\
Open-vocabulary semantic segmentation, learned from captions: GroupViT and OVSegmentor in JAX.
"""
EXAMPLES = """\
examples:
  ovs-jax train --config=quickstart/stage1 --workdir=runs/first
        train on the built-in synthetic world, minutes on a laptop
  ovs-jax train --config=quickstart/stage1:smoke --workdir=runs/smoke
        the same in seconds, to see that everything works
  ovs-jax segment photo.jpg --classes "dog, sofa, person" --checkpoint runs/first
        segment a photo with a trained model
  ovs-jax COMMAND --help
        what a command can do, with examples
"""
FAULTS = (ValueError, OSError, FloatingPointError, ImportError)
"""Errors that tell the user what to change; anything else is a defect of the program."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
      arguments: those after the program's name; ``sys.argv`` if not given.

    Returns:
      The exit status: 0, or 2 after an error that the user can mend (told in one line on standard
      error), 130 after an interrupt, or what the subcommand returns.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    overrides = [word for word in given if word.startswith(OVERRIDE)]
    words = [word for word in given if not word.startswith(OVERRIDE)]
    chosen = next((word for word in words if not word.startswith("-")), None)
    parser = _parser(chosen)
    parsed = parser.parse_args(words)
    if overrides and "overrides" not in parsed:
        parser.error(f"{chosen} takes no config: {' '.join(overrides)}")
    parsed.overrides = overrides
    if parsed.command is None:
        parser.print_help()
        return 0
    set_up_logging(verbose=parsed.debug)
    keep_compiled_programs()
    try:
        return parsed.run(parsed)
    except FAULTS as error:
        if parsed.debug:
            raise
        print(f"ovs-jax {parsed.command}: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"ovs-jax {parsed.command}: interrupted", file=sys.stderr)
        return 130


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen command's module is imported, so that help is quick."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "ovs-jax", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=shape
    )
    parser.add_argument("--version", action="version", version=f"ovs-jax {ovs_jax.__version__}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        path = f"ovs_jax.cli.{name}"
        if importlib.util.find_spec(path) is None:
            continue
        command = commands.add_parser(name, help=summary, formatter_class=shape)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if name == chosen:
            module = importlib.import_module(path)
            command.description, _, command.epilog = (module.__doc__ or "").partition("\n\n")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def keep_compiled_programs() -> None:
    """Lets JAX, which is not imported yet, find the programs that earlier commands compiled.

    They lie in ``ovs_jax`` under XDG_CACHE_HOME or ~/.cache. JAX_COMPILATION_CACHE_DIR names
    another folder, or none if it is empty.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(cache) / "ovs_jax" / "compiled")


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def set_up_logging(*, verbose: bool) -> None:
    """Shows this package's messages with the time of day; the libraries' only if verbose."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
        force=True,  # libraries may have put a handler of their own there
    )
    # Libraries speak up when something is wrong; what they are doing is of no interest.
    for name in ("absl", "jax", "orbax", "grain", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
