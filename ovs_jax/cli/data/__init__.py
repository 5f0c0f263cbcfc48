"""Looks at data, and prepares it for training and evaluation.

Examples:
  ovs-jax data ingest cc12m/ shards/cc12m
        shards from tars, tables or folders of images and captions
  ovs-jax data check shards/cc12m
        whether they are whole
  ovs-jax data entities captions.csv
        how much of your captions each entity rule masks
  ovs-jax data filter-entities cc12m.tsv cc4m.tsv --caption-column 2
        keep the captions that name an entity, as CC4M was made
  ovs-jax data index-entities cc4m.tsv indices/cc4m
        the index from which training draws partner images
"""

import argparse
import importlib

ACTIONS = {
    "ingest": "turn images with captions into shards: tars, tables, folders, TFDS",
    "check": "check that data is whole",
    "entities": "how much of the captions each entity rule masks, with examples",
    "prepare": "convert the official download of a benchmark to ArrayRecord files",
    "filter-entities": "keep the captions that name an entity, as CC4M was made of CC12M",
    "index-entities": "make the index from which training draws partner images",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions of ``ovs-jax data`` and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in ACTIONS.items():
        module = importlib.import_module(f"ovs_jax.cli.data.{name.replace('-', '_')}")
        action = actions.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        action.description, _, action.epilog = (module.__doc__ or "").partition("\n\n")
        module.add_arguments(action)
        action.set_defaults(run_action=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the action that was asked for.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.
    """
    return arguments.run_action(arguments)
