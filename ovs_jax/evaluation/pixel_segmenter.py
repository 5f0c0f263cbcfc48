"""The per-pixel zero-shot baseline as a segmenter."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ovs_jax.evaluation.mask_painting import CLASSES
from ovs_jax.evaluation.mask_segmenter import MaskSegmenter, ZeroShotBank
from ovs_jax.evaluation.zero_shot import ZeroShotImage, ZeroShotProtocol
from ovs_jax.nn import functional


class PixelSegmenter(MaskSegmenter):
    """A trained `models.zegformer.baseline.PixelBaseline`: every class is a mask of its own.

    At each pixel the classes share out a probability of one (ZegFormer, section 5.2); resizing and
    calibration come after that. There is nothing that CLIP could be shown.
    """

    exclusive = True

    def _look(
        self, image: ZeroShotImage, bank: ZeroShotBank, rules: ZeroShotProtocol
    ) -> tuple[Array, Array]:
        count = len(bank.unit)
        unit = np.pad(bank.unit, ((0, -count % CLASSES), (0, 0)))
        return _classify_pixels(*self._model, image.pixels, unit)[:count], jnp.eye(count)


@partial(jax.jit, static_argnums=0)
def _classify_pixels(
    static: functional.Static, params: Any, stats: Any, pixels: Array, unit: Array
) -> Float[Array, "c rows cols"]:
    logits = functional.bind(static, params, stats)(pixels[None], unit)[0]
    return jnp.moveaxis(logits, -1, 0)
