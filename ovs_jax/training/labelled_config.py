"""The config of training data with label maps, and what its classes are."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ovs_jax.data.label_transforms import LabelRecipe
from ovs_jax.data.synthetic import attributes
from ovs_jax.text.class_splits import ClassSplit, class_split, read_class_split
from ovs_jax.training.data_config import SYNTHETIC, TrainingDataConfig

ATTRIBUTES = "attributes"
"""The source of class embeddings that needs no text encoder."""


@dataclass(frozen=True, kw_only=True)
class LabelledDataConfig(TrainingDataConfig):
    """Where images with label maps come from, and which of their classes are trained.

    Attributes:
      source: ``synthetic``; or the folder of a benchmark, downloaded or prepared; or, without
        ``dataset``, a folder with ``images`` and ``labels`` in it.
      dataset: the benchmark, or a class list that its labels are read with (``data.benchmarks``).
      split: which part of it.
      classes: the division into seen and unseen classes: ``synthetic``, a published one
        (``coco_stuff``, ``pascal_voc``, ``ade20k_full``), or a JSON file
        (`text.class_splits.read_class_split`). Pixels of unseen classes are ignored, their images
        are kept.
      text: what class names are embedded with: a CLIP that ``ovs-jax convert`` made, or
        ``attributes``, which describes the classes of the synthetic world without any CLIP.
      prompts: for CLIP, a set of templates (`text.prompts.templates`).
      recipe: the augmentation, and the size of the images.
      most_classes: masks an image can have; of more, the smallest are ignored.
      ignore_label: the stored label of pixels that are not trained on.
      kind: tells the kinds of data apart in a config.
    """

    dataset: str = ""
    split: str = "train"
    classes: str = SYNTHETIC
    text: str = ATTRIBUTES
    prompts: str = "scene"
    recipe: LabelRecipe = field(default_factory=LabelRecipe)
    most_classes: int = 64
    ignore_label: int = 255
    kind: Literal["labelled"] = "labelled"

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("data.source: expected 'synthetic' or a folder, got none")
        if self.classes == SYNTHETIC and self.source != SYNTHETIC:
            raise ValueError(
                "data.classes: 'synthetic' are the classes of data.source 'synthetic'; expected a "
                f"published division or a JSON file for '{self.source}'"
            )
        if self.dataset and self.source == SYNTHETIC:
            raise ValueError(
                f"data.dataset: got '{self.dataset}', expected none with data.source 'synthetic'"
            )

    def class_split(self) -> ClassSplit:
        """The classes, and which of them are not trained.

        Raises:
          ValueError: an unknown division, or a file that is none.
          FileNotFoundError: there is no such file.
        """
        if self.classes == SYNTHETIC:
            return attributes.world_split(self.world)
        if Path(self.classes).suffix == ".json":
            return read_class_split(self.classes)
        return class_split(self.classes)
