import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.transforms import normalize
from ovs_jax.evaluation.whole_images import CenterCrop, Seen, embed


@pytest.mark.parametrize("size", [(30, 50), (70, 41), (36, 36), (20, 90), (1, 3)])
def test_the_crop_is_the_centre_of_the_resized_image(size):
    # Without overshoot, which is clipped between the two passes of a resize, in either order.
    coarse = np.random.default_rng(0).integers(60, 190, (4, 5, 3), np.uint8)
    image = np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BILINEAR))
    height, width = (max(int(side * 36 / min(size)), 36) for side in size)
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    top, left = round((height - 32) / 2), round((width - 32) / 2)
    expected = np.asarray(whole)[top : top + 32, left : left + 32]
    # One level of 255 is what rounding may differ by.
    np.testing.assert_allclose(
        CenterCrop(36, 32)(image), normalize(expected), atol=1.01 / 57, rtol=0
    )


def test_the_usual_crop_is_224_of_256():
    assert CenterCrop.usual(224) == CenterCrop(256, 224)
    assert "short side 256" in str(CenterCrop(256, 224))


@pytest.mark.parametrize("sizes", [(0, 0), (32, 33), (32, 0)])
def test_a_crop_beyond_the_image_is_an_error(sizes):
    with pytest.raises(ValueError, match="crop: expected a square of 1 to"):
        CenterCrop(*sizes)


def test_images_are_embedded_in_batches_of_one_size(segmenter):
    rng = np.random.default_rng(0)
    images = [Seen(rng.normal(size=(32, 32, 3)).astype(np.float32), i) for i in range(5)]
    segmenter.embed_images(np.stack([image.pixels for image in images[:2]]))
    before = segmenter._run.image._cache_size()
    found = list(embed(segmenter, images, batch_size=2))
    assert [extras for _, extras in found] == [[0, 1], [2, 3], [4]]
    embedded = np.concatenate([part for part, _ in found])
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    assert segmenter._run.image._cache_size() == before
    alone = segmenter.embed_images(np.stack([images[4].pixels, images[0].pixels]))
    np.testing.assert_allclose(embedded[[4, 0]], alone, atol=1e-5)
    assert list(embed(segmenter, [], batch_size=2)) == []


def test_an_embedding_is_that_of_the_windows(segmenter):
    pixels = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    image, _, _ = segmenter._features(list(pixels))
    image = np.asarray(image)
    expected = image / np.linalg.norm(image, axis=1, keepdims=True)
    np.testing.assert_allclose(segmenter.embed_images(pixels), expected, atol=1e-5)
