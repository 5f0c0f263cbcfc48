"""ResNet-50 and -101 under detectron2's names, converted by its users from torchvision's.

The files of the same names that MSRA published for Caffe are of another kind (their colours are
BGR, their strides stand in the 1x1 convolutions) and have other names, which no rule knows.
"""

from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.source import Source
from ovs_jax.conversion.sources.resnet_names import ResNetNames

# The stages are counted from the stride's logarithm: res2 has stride 4.
NAMES = ResNetNames(
    stem=("stem.conv1", "stem.conv1.norm"),
    stages=("res2", "res3", "res4", "res5"),
    norm="conv{k}.norm",
    shortcut=("shortcut", "shortcut.norm"),
)

SOURCE = Source(
    name="resnet-detectron",
    summary="a ResNet-50 or -101 of torchvision under detectron2's names",
    rules=(*NAMES.rules(), Rule("stem.fc.*", reason="the classifier is not used")),
    config=NAMES.config,
    marker="res2.0.conv1.weight",
    prefixes=("", "backbone.", "module."),
    licence="that of the file's publisher (torchvision: BSD-3-Clause)",
)
