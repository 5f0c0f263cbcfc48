"""ResNet-50 and -101 of torchvision, from which the training of ZegFormer starts.

A frozen batch norm has no parameters here: all four of its vectors are statistics.
"""

from ovs_jax.conversion.layers import frozen_norm, kernel
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.source import Source
from ovs_jax.nn.resnet import ResNetConfig

STAGES = 4


def _rules() -> list[Rule]:
    rules = [kernel("conv1", "stem/conv"), *frozen_norm("bn1", "stem/norm")]
    for stage in range(STAGES):
        theirs, mine = f"layer{stage + 1}.{{j}}", f"stages/{stage}/blocks/{{j}}"
        for k in (1, 2, 3):
            rules.append(kernel(f"{theirs}.conv{k}", f"{mine}/conv{k}"))
            rules += frozen_norm(f"{theirs}.bn{k}", f"{mine}/norm{k}")
        rules.append(kernel(f"{theirs}.downsample.0", f"{mine}/shortcut"))
        rules += frozen_norm(f"{theirs}.downsample.1", f"{mine}/shortcut_norm")
    return [*rules, Rule("fc.*", reason="the classifier is not used")]


def config(sizes: Sizes) -> ResNetConfig:
    """Sizes from shapes."""
    return ResNetConfig(
        stem=sizes.size("conv1.weight", 0),
        width=sizes.size("layer1.0.conv1.weight", 0),
        blocks=tuple(sizes.count(f"layer{stage + 1}.{{j}}.*") for stage in range(STAGES)),
    )


SOURCE = Source(
    name="resnet",
    summary="a ResNet-50 or -101 of torchvision, or detectron2's file of the same weights (.pkl)",
    rules=tuple(_rules()),
    config=config,
    marker="layer1.0.conv1.weight",
    prefixes=("", "module."),
    licence="that of the file's publisher (torchvision: BSD-3-Clause)",
)
