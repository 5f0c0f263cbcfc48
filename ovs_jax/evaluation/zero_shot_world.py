"""The protocol by which zero-shot segmentation of the synthetic world is judged."""

from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol
from ovs_jax.text.class_splits import ClassSplit

BARE = ("{}",)


def world_protocol(split: ClassSplit, *, size: int) -> ZeroShotProtocol:
    """Held-out scenes, every pixel named, the segment branch alone, no calibration.

    Args:
      split: the classes of the world, see `data.synthetic.attributes.world_split`.
      size: side at which the model sees the scenes, in pixels.
    """
    return ZeroShotProtocol(
        name="synthetic",
        split=split,
        templates=BARE,
        image_templates=BARE,
        fusion=Fusion("segment"),
        short_side=size,
        long_side=size,
    )
