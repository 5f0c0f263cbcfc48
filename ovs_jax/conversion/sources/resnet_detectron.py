"""ResNet-50 and -101 under detectron2's names, converted by its users from torchvision's.

The files of the same names that MSRA published for Caffe are of another kind (their colours are
BGR, their strides stand in the 1x1 convolutions) and have other names, which no rule knows.
"""

from ovs_jax.conversion.layers import frozen_norm, kernel
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.nn.resnet import ResNetConfig

STAGES = (2, 3, 4, 5)
"""The stages are counted from the stride's logarithm: res2 has stride 4."""


def resnet(foreign: str, ours: str) -> list[Rule]:
    """The rules of a ResNet; ``foreign`` ends in a dot, ``ours`` in a slash, or they are empty."""
    rules = [
        kernel(f"{foreign}stem.conv1", f"{ours}stem/conv"),
        *frozen_norm(f"{foreign}stem.conv1.norm", f"{ours}stem/norm"),
    ]
    for index, stage in enumerate(STAGES):
        theirs, mine = f"{foreign}res{stage}.{{j}}", f"{ours}stages/{index}/blocks/{{j}}"
        for k in (1, 2, 3):
            rules.append(kernel(f"{theirs}.conv{k}", f"{mine}/conv{k}"))
            rules += frozen_norm(f"{theirs}.conv{k}.norm", f"{mine}/norm{k}")
        rules.append(kernel(f"{theirs}.shortcut", f"{mine}/shortcut"))
        rules += frozen_norm(f"{theirs}.shortcut.norm", f"{mine}/shortcut_norm")
    return rules


def resnet_config(sizes: Sizes, foreign: str = "") -> ResNetConfig:
    """Sizes from the shapes of names after ``foreign``."""
    return ResNetConfig(
        stem=sizes.size(f"{foreign}stem.conv1.weight", 0),
        width=sizes.size(f"{foreign}res2.0.conv1.weight", 0),
        blocks=tuple(sizes.count(f"{foreign}res{stage}.{{j}}.*") for stage in STAGES),
    )


SOURCE = Source(
    name="resnet-detectron",
    summary="a ResNet-50 or -101 of torchvision under detectron2's names",
    rules=(*resnet("", ""), Rule("stem.fc.*", reason="the classifier is not used")),
    config=resnet_config,
    marker="res2.0.conv1.weight",
    prefixes=("", "backbone.", "module."),
    licence="that of the file's publisher (torchvision: BSD-3-Clause)",
)
