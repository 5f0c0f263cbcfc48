from dataclasses import replace

import pytest

from ovs_jax.models import registry
from ovs_jax.models.zegformer.config import PixelBaselineConfig, PixelDecoderConfig
from ovs_jax.nn import functional


@pytest.mark.parametrize(
    ("part", "overrides", "message"),
    [
        ("transformer", {"width": 36}, r"transformer\.width: .* 4 .* 8 heads, got 36"),
        ("transformer", {"queries": 0}, r"transformer\.queries: expected at least 1"),
        ("transformer", {"encoder_layers": -1}, r"encoder_layers: expected at least 0"),
        ("transformer", {"dropout": 1.0}, r"dropout: expected 0 to below 1, got 1"),
        ("pixel_decoder", {"width": 40}, r"width 40 is not a multiple of groups 32"),
        ("pixel_decoder", {"outputs": 0}, r"pixel_decoder\.outputs: expected at least 1"),
        ("backbone", {"blocks": [3, 4, 6]}, r"backbone\.blocks: expected four stages"),
    ],
)
def test_sizes_that_make_no_model_are_named(part, overrides, message):
    with pytest.raises(ValueError, match=message):
        registry.model_config("zegformer", "resnet50", overrides={part: overrides})


def test_the_baseline_refuses_what_it_does_not_have():
    with pytest.raises(ValueError, match="the baseline has no transformer, expected 0, got 1"):
        PixelBaselineConfig(pixel_decoder=PixelDecoderConfig(encoder_layers=1))
    with pytest.raises(ValueError, match="embedding: expected at least 1, got 0"):
        PixelBaselineConfig(embedding=0)


def test_resnet50_has_the_published_number_of_parameters():
    """Counted by hand from the sizes in the paper's section 5.1."""
    params = functional.abstract(registry.build(registry.model_config("zegformer", "resnet50")))[1]
    d, ffn = 256, 2048
    norms = 2 * d
    pixels = (
        (256 + 512 + 1024) * d + 3 * norms  # adapters
        + 9 * (2048 + 3 * d) * d + 4 * norms  # layers
        + 9 * d * d + d  # mask features
    )  # fmt: skip
    attention = 4 * (d * d + d)
    layer = 2 * attention + 2 * d * ffn + d + ffn + 3 * norms
    transformer = 2048 * d + d + 6 * layer + norms + 100 * d
    heads = 3 * (d * d + d) + d * 512 + 512 + 512
    assert functional.count(params) == 23_454_912 + pixels + transformer + heads


def test_the_query_source_is_projected_only_where_its_width_differs():
    config = registry.model_config("zegformer", "nano_encoders")
    params = functional.abstract(registry.build(config))[1]
    assert "input_projection" not in params
    other = replace(config, pixel_decoder=PixelDecoderConfig(width=64, groups=8, encoder_layers=1))
    params = functional.abstract(registry.build(other))[1]
    assert params["input_projection"]["kernel"].shape == (1, 1, 64, 32)


def test_the_baseline_has_no_transformer_and_no_vector_for_no_object():
    params = functional.abstract(registry.build(PixelBaselineConfig()))[1]
    assert params.keys() == {"backbone", "pixel_decoder", "projection"}
