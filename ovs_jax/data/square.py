"""Images without augmentation: the centred square, scaled."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from ovs_jax.data.images import Photo, take_part


@dataclass(frozen=True)
class CenteredSquare:
    """The largest centred square of an image, scaled to a size; draws nothing.

    Attributes:
      size: side of the result in pixels.
    """

    size: int
    dtype = np.uint8

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"] | Photo, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Returns the square.

        Args:
          image: RGB pixels of any size, or a photograph that is not decoded yet.
          rng: not used; all image preparations are called alike.
        """
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        part = take_part(image, (left, top, left + side, top + side), least=self.size)
        square, side = np.ascontiguousarray(part), part.shape[0]
        if part.shape[:2] != (self.size, self.size):
            # Averaging over areas does not alias when shrinking; it would show blocks when
            # enlarging.
            how = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
            square = np.asarray(
                cv2.resize(square, (self.size, self.size), interpolation=how), np.uint8
            )
        return square
