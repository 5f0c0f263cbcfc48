"""The rules of a ResNet, for every way to name its layers.

A frozen batch norm has no parameters here: all four of its vectors are statistics.
"""

from dataclasses import dataclass

from ovs_jax.conversion.layers import frozen_norm, kernel
from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.nn.resnet import ResNetConfig


@dataclass(frozen=True)
class ResNetNames:
    """What the layers of a ResNet are called.

    Attributes:
      stem: the first convolution, and its norm.
      stages: the four stages.
      norm: the norm of a block's k-th convolution, with ``{k}`` in it.
      shortcut: the convolution beside a stage's first block, and its norm.
    """

    stem: tuple[str, str]
    stages: tuple[str, ...]
    norm: str
    shortcut: tuple[str, str]

    def rules(self, foreign: str = "", ours: str = "") -> list[Rule]:
        """The rules of all layers; ``foreign`` ends in a dot, ``ours`` in a slash, or is empty."""
        stem, stem_norm = (foreign + name for name in self.stem)
        rules = [kernel(stem, f"{ours}stem/conv"), *frozen_norm(stem_norm, f"{ours}stem/norm")]
        for number, stage in enumerate(self.stages):
            theirs, mine = f"{foreign}{stage}.{{j}}", f"{ours}stages/{number}/blocks/{{j}}"
            for k in (1, 2, 3):
                rules.append(kernel(f"{theirs}.conv{k}", f"{mine}/conv{k}"))
                rules += frozen_norm(f"{theirs}.{self.norm.format(k=k)}", f"{mine}/norm{k}")
            shortcut, shortcut_norm = (f"{theirs}.{name}" for name in self.shortcut)
            rules.append(kernel(shortcut, f"{mine}/shortcut"))
            rules += frozen_norm(shortcut_norm, f"{mine}/shortcut_norm")
        return rules

    def config(self, sizes: Sizes, foreign: str = "") -> ResNetConfig:
        """Sizes from the shapes of names after ``foreign``."""
        return ResNetConfig(
            stem=sizes.size(f"{foreign}{self.stem[0]}.weight", 0),
            width=sizes.size(f"{foreign}{self.stages[0]}.0.conv1.weight", 0),
            blocks=tuple(sizes.count(f"{foreign}{stage}.{{j}}.*") for stage in self.stages),
        )
