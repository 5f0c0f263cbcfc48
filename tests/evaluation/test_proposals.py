import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.evaluation.proposals import Fusion, image_logits, mask_classes

UNSEEN = np.asarray([False, True, False])
SEGMENT = np.log(np.asarray([[0.1, 0.4, 0.3, 0.2]], np.float32))
IMAGE = np.log(np.asarray([[0.2, 0.5, 0.1, 0.2]], np.float32))


def fused(fusion):
    return np.asarray(
        mask_classes(jnp.asarray(SEGMENT), jnp.asarray(IMAGE), unseen=UNSEEN, fusion=fusion)
    )[0]


def test_the_ensemble_gives_seen_classes_the_mean_of_clip_over_seen_classes():
    mean = (0.2 + 0.1) / 2
    want = [0.1 ** (2 / 3) * mean ** (1 / 3), 0.4 ** (1 / 3) * 0.5 ** (2 / 3),
            0.3 ** (2 / 3) * mean ** (1 / 3)]  # fmt: skip
    np.testing.assert_allclose(fused(Fusion("ensemble")), want, rtol=1e-5)


def test_the_ensemble_of_all_treats_classes_alike():
    want = [p ** (1 / 3) * c ** (2 / 3) for p, c in ((0.1, 0.2), (0.4, 0.5), (0.3, 0.1))]
    np.testing.assert_allclose(fused(Fusion("ensemble_all")), want, rtol=1e-5)


def test_exponents_of_seen_and_unseen_classes_can_be_set_apart():
    fusion = Fusion("ensemble", seen_exponent=0.4, unseen_exponent=0.8, seen_mean=False)
    want = [0.1**0.6 * 0.2**0.4, 0.4**0.2 * 0.5**0.8, 0.3**0.6 * 0.1**0.4]
    np.testing.assert_allclose(fused(fusion), want, rtol=1e-5)
    assert fusion.described() == ("segment^0.6 image^0.4 (seen); segment^0.2 image^0.8 (unseen)")


def test_one_branch_alone_gives_its_probabilities():
    np.testing.assert_allclose(fused(Fusion("segment")), [0.1, 0.4, 0.3], rtol=1e-5)
    np.testing.assert_allclose(fused(Fusion("image")), [0.2, 0.5, 0.1], rtol=1e-5)


def test_clip_has_the_segment_branchs_word_on_no_object():
    embeddings = jnp.asarray([[3.0, 4.0]])
    found = image_logits(embeddings, jnp.eye(2), jnp.asarray([[9.0, 9.0, -7.0]]), scale=10.0)
    np.testing.assert_allclose(found, [[6.0, 8.0, -7.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seen_exponent": 1.5}, "seen_exponent: expected 0 to 1, got 1.5"),
        ({"kind": "segment", "unseen_exponent": 0.5}, "has one branch"),
    ],
)
def test_fusions_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Fusion(**arguments)
    with pytest.raises(ValueError, match="needs the logits of CLIP"):
        mask_classes(jnp.asarray(SEGMENT), None, unseen=UNSEEN, fusion=Fusion())
