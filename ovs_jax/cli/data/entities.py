"""How much of the captions each entity rule masks, with examples.

The rules are those of OVSegmentor: ``original`` as published, ``corrected`` without its defects.

Examples:
  ovs-jax data entities captions.csv
  ovs-jax data entities photos.tsv --image-column file --caption-column text --examples 20
"""

import argparse
from collections.abc import Sequence

from ovs_jax.data.sources import open_image_text
from ovs_jax.text.entities import RULES, entity_rule, masked_share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax data entities``."""
    parser.add_argument("path", help="a folder, or a CSV, TSV, JSON or JSONL file")
    parser.add_argument("--image-column", default="image")
    parser.add_argument("--caption-column", default="caption")
    parser.add_argument("--examples", type=int, default=5, help="questions to show")


def run(arguments: argparse.Namespace) -> int:
    """Prints the report.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status.

    Raises:
      ValueError: the data cannot be used; see `ovs_jax.data.sources.open_image_text`.
      FileNotFoundError: there is no such data.
    """
    source = open_image_text(
        arguments.path,
        image_column=arguments.image_column,
        caption_column=arguments.caption_column,
    )
    print(entity_report(source.captions(), examples=arguments.examples))
    return 0


def entity_report(captions: Sequence[str], *, examples: int = 5) -> str:
    """Compares the entity rules on captions.

    Args:
      captions: as a source gives them.
      examples: how many captions to show the questions of.

    Returns:
      A Markdown table: for each rule the share of captions with at least one mask, the share of
      masked words, and the share of captions that the rule keeps for training with entities. Then
      the questions of captions where the rules differ.
    """
    rules = {name: entity_rule(name) for name in RULES}
    lines = [
        f"{len(captions)} captions",
        "",
        "| rule | captions with a mask | masked words | captions kept |",
        "|---|---:|---:|---:|",
    ]
    for name, rule in rules.items():
        share = masked_share(captions, rule)
        kept = sum(bool(rule.pairing_entities(caption)) for caption in captions)
        kept_share = kept / max(len(captions), 1)
        lines.append(
            f"| {name} | {share.caption_share:.1%} | {share.word_share:.1%} | {kept_share:.1%} |"
        )
    different = [
        caption
        for caption in captions
        if len({rule.entities(caption) for rule in rules.values()}) > 1
    ]
    for caption in different[:examples]:
        lines += ["", f"caption: {caption}"]
        lines += [f"{name}: {rule.question(caption)}" for name, rule in rules.items()]
    return "\n".join(lines)
