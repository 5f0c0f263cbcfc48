"""The synthetic world: captioned scenes with exact masks, drawn on demand and without files.

`SyntheticWorld` is a source of images with captions, and its `segmentation` view one of images with
labels. Appearance tells the class; the words of a caption are true of its picture.
"""

from ovs_jax.data.synthetic.config import DEFAULT_OBJECTS, DEFAULT_STUFF, WorldConfig
from ovs_jax.data.synthetic.world import SyntheticSegmentation, SyntheticWorld

__all__ = [
    "DEFAULT_OBJECTS",
    "DEFAULT_STUFF",
    "SyntheticSegmentation",
    "SyntheticWorld",
    "WorldConfig",
]
