"""Lists the public weights that are known: where they are, their licence, how to convert them.

Nothing is downloaded. What is not known of them is said to be so.

Examples:
  ovs-jax zoo
        a line for each
  ovs-jax zoo groupvit_gcc_yfcc
        everything that is known of one
"""

import argparse

from ovs_jax.conversion.zoo import ZOO, describe
from ovs_jax.mapping import lookup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of ``ovs-jax zoo``."""
    parser.add_argument("name", nargs="?", help="one of the list; all of it without")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table, or one entry.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: there is no entry of that name.
    """
    if arguments.name:
        print(describe(lookup(ZOO, arguments.name, what="zoo")))
        return 0
    width = max(len(name) for name in ZOO)
    for name, weights in ZOO.items():
        print(f"{name:<{width}}  {weights.source:<11}  {weights.architecture}")
    return 0
