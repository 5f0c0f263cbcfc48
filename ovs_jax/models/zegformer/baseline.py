"""The per-pixel zero-shot baseline (SPNet-FPN in the paper): every pixel is compared with texts."""

from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.models.zegformer.config import PixelBaselineConfig
from ovs_jax.models.zegformer.heads import cosine_logits
from ovs_jax.models.zegformer.model import check_size
from ovs_jax.models.zegformer.pixel_decoder import PixelDecoder
from ovs_jax.nn.convolution import convolution
from ovs_jax.nn.resnet import ResNet

LOGIT_SCALE = 100.0


class PixelBaseline(nnx.Module):
    """Backbone and pixel decoder of ZegFormer, and one embedding a cell; no "no object"."""

    def __init__(self, config: PixelBaselineConfig, *, rngs: nnx.Rngs) -> None:
        self.backbone = ResNet(config.backbone, rngs=rngs)
        self.pixel_decoder = PixelDecoder(
            config.backbone.outputs, config.pixel_decoder, encoder=None, rngs=rngs
        )
        self.projection = convolution(
            config.pixel_decoder.outputs, config.embedding, 1, bias=True, rngs=rngs
        )

    def __call__(
        self, images: Float[Array, "b h w 3"], classes_unit: Float[Array, "c e"]
    ) -> Float[Array, "b rows cols c"]:
        """Class logits at a quarter of the size, float32.

        Args:
          images: normalised, height and width multiples of 32.
          classes_unit: one text embedding a class, of length one.

        Raises:
          ValueError: height or width is not a multiple of 32.
        """
        check_size(images)
        features, _ = self.pixel_decoder(self.backbone(images))
        return cosine_logits(self.projection(features), classes_unit, scale=LOGIT_SCALE)
