"""Class embeddings of the synthetic world, and what is held out of training."""

import numpy as np
import pytest

from ovs_jax.cli import config as experiments
from ovs_jax.data.synthetic.attributes import ATTRIBUTES, COMMON, UNSEEN, embed, world_split
from ovs_jax.data.synthetic.config import WorldConfig
from ovs_jax.mapping import from_mapping

WORLD = from_mapping(
    WorldConfig, experiments.load("zegformer/synthetic").data.world.to_dict(), where="world"
)


def test_every_class_has_an_embedding_of_its_own_of_length_one():
    unit = embed(WORLD.class_names)
    assert unit.shape == (28, len(ATTRIBUTES))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    assert (unit @ unit.T - 2 * np.eye(len(unit))).max() < 0.99


def test_an_embedding_says_kind_and_colour():
    unit = embed(["orange cat", "grass"])
    said = [
        {name: float(value) for name, value in zip(ATTRIBUTES, row, strict=True) if value}
        for row in unit
    ]
    half, whole = np.sqrt((1 - COMMON) / 2), np.sqrt(1 - COMMON)
    assert said[0] == pytest.approx(
        {"any": np.sqrt(COMMON), "kind: cat": half, "colour: orange": half}
    )
    assert said[1] == pytest.approx({"any": np.sqrt(COMMON), "kind: grass": whole})


def test_classes_are_as_much_alike_as_the_words_they_share():
    unit = embed(["red kite", "blue kite", "red ball", "blue ball", "kite"])
    alike = unit @ unit.T
    one = COMMON + (1 - COMMON) / 2
    assert alike[0] == pytest.approx([1, one, one, COMMON, COMMON + (1 - COMMON) * np.sqrt(0.5)])
    # What colour adds does not depend on the kind: two words compose.
    np.testing.assert_allclose(unit[0] - unit[1], unit[2] - unit[3], atol=1e-7)


def test_every_word_of_an_unseen_class_is_seen_in_several_others():
    split = world_split(WORLD)
    seen = [set(name.split()) for name in split.seen_names]
    for name in UNSEEN:
        for word in name.split():
            assert sum(word in words for words in seen) >= 3, (name, word)


def test_unseen_classes_are_described_by_what_is_said_of_seen_ones():
    split = world_split(WORLD)
    assert {split.classes.names[i] for i in split.unseen} == set(UNSEEN)
    unit = embed(split.classes.names)
    seen, unseen = unit[list(split.seen)], unit[list(split.unseen)]
    # Training says something about nearly every direction, and none of the classes was trained.
    rebuilt = np.linalg.lstsq(seen.T, unseen.T, rcond=None)[0].T @ seen
    assert np.linalg.norm(rebuilt - unseen, axis=1).max() < 0.1
    assert (unseen @ seen.T).max() < 0.99


def test_a_world_without_unseen_classes_has_none_held_out():
    split = world_split(WorldConfig(object_classes=("zebra", "fish"), stuff_classes=("grass",)))
    assert split.unseen == ()
    assert split.seen_names == ("zebra", "fish", "grass")


def test_synonyms_mean_the_same_and_several_are_averaged():
    unit = embed(["dog", "puppy", "dog, red cat", "red cat"])
    np.testing.assert_array_equal(unit[0], unit[1])
    mean = unit[0] + unit[3]
    np.testing.assert_allclose(unit[2], mean / np.linalg.norm(mean), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zebar", r"class 'zebar': .* got 'zebar'; did you mean 'zebra'\?"),
        ("rde zebra", r"class 'rde zebra': .* got 'rde'; did you mean 'red'\?"),
        ("dog ", r"class 'dog ': .* got ''"),
        ("red  dog", r"class 'red  dog': .* got 'red '; did you mean 'red'\?"),
        ("dog, sofa", r"class 'dog, sofa': without a text encoder .* got 'sofa'"),
        ("dog, ", r"expected a name, or several"),
    ],
)
def test_a_word_that_the_world_does_not_know_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        embed(["cat", name])
