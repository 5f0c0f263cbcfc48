import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.nn import functional
from ovs_jax.nn.resnet import ResNet, ResNetConfig


def abstract(config):
    return functional.abstract(lambda rngs: ResNet(config, rngs=rngs))


@pytest.mark.parametrize(
    ("blocks", "whole", "norms"),
    [((3, 4, 6, 3), 25_557_032, 53_120), ((3, 4, 23, 3), 44_549_160, 105_344)],
    ids=["resnet50", "resnet101"],
)
def test_the_convolutions_are_the_published_ones_less_classifier_and_norms(blocks, whole, norms):
    _, params, stats = abstract(ResNetConfig(blocks=blocks))
    classifier = 2048 * 1000 + 1000
    assert functional.count(params) == whole - classifier - norms
    assert functional.count(stats) == 2 * norms
    assert all(path.endswith("kernel") for path in functional.paths(params))


def test_levels_have_strides_of_4_to_32_and_widths_that_double():
    static, params, stats = abstract(ResNetConfig(stem=8, width=4, blocks=(1, 2, 1, 1)))
    images = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)
    levels = jax.eval_shape(lambda p, s, x: functional.bind(static, p, s)(x), params, stats, images)
    assert [level.shape for level in levels] == [
        (2, 16, 24, 16), (2, 8, 12, 32), (2, 4, 6, 64), (2, 2, 3, 128),
    ]  # fmt: skip


def test_the_stride_stands_in_the_3x3_convolution():
    static, params, stats = abstract(ResNetConfig(stem=4, width=2, blocks=(1, 1)))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (params, stats))
    first = functional.bind(static, *zeros).stages[1].blocks[0]
    assert first.conv1.strides == (1, 1)
    assert first.conv2.strides == first.shortcut.strides == (2, 2)


def test_group_norms_are_trained_and_make_images_independent_of_their_contrast():
    config = ResNetConfig(stem=4, width=2, blocks=(1,), norm="group")
    static, params, stats = abstract(config)
    assert not stats
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params)
    image = rng.normal(size=(1, 32, 32, 3)).astype(np.float32)
    run = jax.jit(lambda x: functional.bind(static, params, {})(x)[0])
    np.testing.assert_allclose(run(9 * image), run(image), rtol=1e-3, atol=1e-3)


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match=r"backbone: expected stem, width and blocks of at least"):
        ResNetConfig(blocks=(3, 0, 6, 3))
