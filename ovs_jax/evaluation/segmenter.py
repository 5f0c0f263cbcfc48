"""The seam between models and evaluation: images and class names to a class for every pixel.

Every command, the training loop and the Python API see a model through a `Segmenter`; what kind of
model it is matters to its segmenter alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ovs_jax.data.images import checked_pixels, decode_image
from ovs_jax.evaluation.canvas import Painting
from ovs_jax.evaluation.mask_painting import MaskPainting
from ovs_jax.evaluation.protocols import Protocol
from ovs_jax.evaluation.refinement import Pamr
from ovs_jax.evaluation.segmentation import Segmentation
from ovs_jax.evaluation.sliding import Geometry, Windows
from ovs_jax.evaluation.zero_shot import ZeroShotImage, ZeroShotProtocol
from ovs_jax.typing import ClassSet

AnyProtocol = Protocol | ZeroShotProtocol
"""What segmentations are judged by: ``classes``, ``choices``, ``prepared`` and ``truth``."""
Prepared = Windows | ZeroShotImage
"""What a protocol makes of an image."""
AnyPainting = Painting | MaskPainting
"""What a model makes of it: ``labels`` and ``scores`` of every pixel."""


class Segmenter(ABC):
    """A trained model that segments images with class names.

    Attributes:
      geometry: the size at which `segment` looks at images; a protocol brings its own.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    @abstractmethod
    def judged_by(self, protocol: AnyProtocol) -> AnyProtocol:
        """A protocol in the form that is made for this kind of model.

        Raises:
          ValueError: the kind cannot be judged by it; tells what to take.
        """

    @abstractmethod
    def paintings(
        self, images: Iterable[Prepared], protocol: AnyProtocol, *, batch_size: int | None = None
    ) -> Iterator[tuple[Any, AnyPainting]]:
        """Runs the model over images.

        Args:
          images: any number, from the protocol's ``prepared``; taken as they are needed.
          protocol: one that `judged_by` gave.
          batch_size: how much the device sees at a time, where that can be chosen; None for what
            suits the device.

        Yields:
          What an image holds as ``extra``, and what was found in it; in order.
        """

    def segment(
        self,
        image: UInt8[np.ndarray, "h w 3"] | str | Path,
        classes: Sequence[str],
        *,
        background: float | None = None,
        refinement: Pamr | None = None,
        keep_scores: bool = True,
    ) -> Segmentation:
        """Gives every pixel of an image one of the named classes.

        Args:
          image: RGB pixels, or the path of an image file.
          classes: what to look for, in words. Blanks around and within names do not count.
          background: pixels whose best class scores below this become ``background``, which is then
            class 0; between 0 and 1. None names every pixel.
          refinement: how the groups' masks are brought to the edges in the image; None for not.
          keep_scores: whether the result holds the scores of all classes, a float a pixel for each.

        Returns:
          Labels, scores and groups (or masks) at the size of the image.

        Raises:
          ValueError: if the class list is empty or has a name twice, the image is not one, or the
            kind of model has no refinement.
          FileNotFoundError: if there is no such file.
        """
        names = class_names(classes)
        names = names if background is None else ("background", *names)
        class_set = ClassSet("classes", names, has_background=background is not None)
        if background is not None and not 0 <= background <= 1:
            raise ValueError(f"background: expected a threshold of 0 to 1, got {background}")
        if isinstance(image, str | Path):
            image = decode_image(Path(image).read_bytes(), name=str(image))
        image = checked_pixels(image, name="image")
        protocol = self.judged_by(
            Protocol("own", class_set, self.geometry, background=background, refinement=refinement)
        )
        _, painting = next(iter(self.paintings([protocol.prepared(image)], protocol)))
        found = painting.labels()
        return Segmentation(
            labels=found.labels,
            confidence=found.confidence,
            groups=found.groups,
            scores=painting.scores() if keep_scores else None,
            classes=names,
            image=image,
            has_background=background is not None,
        )


def class_names(given: Any) -> tuple[str, ...]:
    """The names in a sequence that a user gave, without stray blanks.

    Raises:
      ValueError: if it is a single string, or anything in it is no string.
    """
    if isinstance(given, str):
        raise ValueError(f"classes: expected a sequence of names, got the string '{given}'")
    wrong = [name for name in given if not isinstance(name, str)]
    if wrong:
        raise ValueError(f"classes: expected names, got {wrong}")
    return tuple(" ".join(name.split()) for name in given)
