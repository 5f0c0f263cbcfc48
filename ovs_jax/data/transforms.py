"""From decoded pixels to what an encoder reads: the evaluation resize and ImageNet normalisation.

Both follow the published evaluations of GroupViT and OVSegmentor, the resize to the last bit.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Mean of red, green and blue over ImageNet, on the scale of 0 to 255."""
IMAGENET_STD = (58.395, 57.12, 57.375)
"""Standard deviation of red, green and blue over ImageNet, on the scale of 0 to 255."""

_MEAN = np.asarray(IMAGENET_MEAN, np.float32)
_STD = np.asarray(IMAGENET_STD, np.float32)


def normalize(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Gives (image - mean) / std per channel as float32, with the ImageNet constants.

    Args:
      image: RGB pixels of 0 to 255.

    Returns:
      The normalised image, float32, channels last.
    """
    return (image.astype(np.float32) - _MEAN) / _STD


def keep_ratio_size(
    height: int, width: int, *, short_side: int = 448, long_side: int = 2048
) -> tuple[int, int]:
    """The (height, width) that `resize_keep_ratio` gives an image of this height and width.

    The scale is min(long_side / longer side, short_side / shorter side), and a side of x pixels
    becomes int(x · scale + 0.5). An image of aspect beyond long_side / short_side therefore ends
    with a shorter side below `short_side`.

    Args:
      height: rows of the image, at least 1.
      width: columns of the image, at least 1.
      short_side: pixels that the shorter side gets, unless the longer would exceed `long_side`.
      long_side: the most pixels that the longer side may get.

    Raises:
      ValueError: if a size is below 1.
    """
    sizes = {"height": height, "width": width, "short_side": short_side, "long_side": long_side}
    for field, value in sizes.items():
        if value < 1:
            raise ValueError(f"resize: expected {field} of at least 1 pixel, got {value}")
    scale = min(long_side / max(height, width), short_side / min(height, width))
    # A sliver such as 1 x 9000 would round to no pixels at all.
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def resize_keep_ratio(
    image: UInt8[np.ndarray, "h w 3"], *, short_side: int = 448, long_side: int = 2048
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Scales an image to a shorter side of `short_side`, the longer being at most `long_side`.

    Bilinear with half-pixel centres, no antialiasing, and rounding to 8 bits, as OpenCV does it.
    The channels do not mix, so RGB gives the same numbers as the BGR of the published evaluations.

    Args:
      image: RGB pixels.
      short_side: see `keep_ratio_size`.
      long_side: see `keep_ratio_size`.

    Returns:
      The scaled image, 8 bits, of the size that `keep_ratio_size` gives.

    Raises:
      ValueError: if the image has no pixels or a size is below 1.
    """
    height, width = image.shape[:2]
    rows, columns = keep_ratio_size(height, width, short_side=short_side, long_side=long_side)
    resized = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
