"""ResNet-50 and -101 of torchvision, from which the training of ZegFormer starts."""

from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.resnet_names import ResNetNames

NAMES = ResNetNames(
    stem=("conv1", "bn1"),
    stages=("layer1", "layer2", "layer3", "layer4"),
    norm="bn{k}",
    shortcut=("downsample.0", "downsample.1"),
)

SOURCE = Source(
    name="resnet",
    summary="a ResNet-50 or -101 of torchvision, or detectron2's file of the same weights (.pkl)",
    rules=(*NAMES.rules(), Rule("fc.*", reason="the classifier is not used")),
    config=NAMES.config,
    marker="layer1.0.conv1.weight",
    prefixes=("", "module."),
    licence="that of the file's publisher (torchvision: BSD-3-Clause)",
)
