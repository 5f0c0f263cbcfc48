"""Options of commands that take models which find masks, such as ZegFormer."""

import argparse
from dataclasses import replace
from typing import Any

from ovs_jax.evaluation.image_branch import LOOKS
from ovs_jax.evaluation.mask_segmenter import MaskSegmenter
from ovs_jax.evaluation.proposals import KINDS, Fusion
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol

_OPTIONS = ("fusion", "look", "gamma", "seen_exponent", "unseen_exponent")


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    group = parser.add_argument_group("models that find masks (zegformer)")
    group.add_argument(
        "--clip",
        metavar="FOLDER",
        help="the converted CLIP, if it is not where it was in training",
    )
    group.add_argument(
        "--fusion",
        choices=KINDS,
        help="who names the masks: the trained branch (segment), CLIP (image), or both (ensemble: "
        "CLIP counts less for seen classes; ensemble_all: for none)",
    )
    group.add_argument(
        "--look",
        choices=LOOKS,
        help="what CLIP is shown of a mask; pool: the whole image once, many times faster",
    )
    group.add_argument(
        "--gamma", type=float, help="what is taken from the scores of the classes of training"
    )
    for name, published in (("seen", "1/3, in ensemble_all 2/3"), ("unseen", "2/3")):
        group.add_argument(
            f"--{name}-exponent",
            type=float,
            help=f"CLIP's weight for {name} classes, 0 to 1 (published: {published})",
        )


def changed(protocol: ZeroShotProtocol, arguments: argparse.Namespace) -> ZeroShotProtocol:
    """A protocol with what the options say, which its title tells.

    Raises:
      ValueError: a value out of range, or exponents where there is one branch only.
    """
    given = _given(arguments)
    if not given:
        return protocol
    fusion = protocol.fusion
    parts = {name: given[name] for name in ("seen_exponent", "unseen_exponent") if name in given}
    if "fusion" in given or parts:
        fusion = Fusion(arguments.fusion or fusion.kind, **parts)
    if "look" in given and not fusion.uses_image:
        raise ValueError("--look: says what CLIP is shown, which fusion 'segment' does not ask")
    values = {name: given[name] for name in ("look", "gamma") if name in given}
    note = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in given.items())
    note = f"{protocol.note}; {note}" if protocol.note else note
    return replace(protocol, fusion=fusion, note=note, **values)


def change_defaults(segmenter: Segmenter, arguments: argparse.Namespace) -> None:
    """Makes what the options say the segmenter's own choices.

    Raises:
      ValueError: as in `changed`, or the model does not find masks.
    """
    given = _given(arguments)
    if given and not isinstance(segmenter, MaskSegmenter):
        raise ValueError(
            f"--{next(iter(given)).replace('_', '-')}: belongs to models that find masks "
            "(zegformer), and this one makes groups of pixels"
        )
    if isinstance(segmenter, MaskSegmenter):
        segmenter.defaults = changed(segmenter.defaults, arguments)


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    values = {name: getattr(arguments, name) for name in _OPTIONS}
    return {name: value for name, value in values.items() if value is not None}
