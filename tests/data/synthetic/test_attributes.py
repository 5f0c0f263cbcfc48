"""Class embeddings of the synthetic world, and what is held out of training."""

import numpy as np
import pytest

from ovs_jax.data.synthetic.attributes import (
    ATTRIBUTES,
    COMMON,
    UNSEEN,
    embed,
    world_split,
)
from ovs_jax.data.synthetic.catalogue import OBJECTS, STUFF
from ovs_jax.data.synthetic.config import WorldConfig

WORLD = WorldConfig(object_classes=tuple(OBJECTS), stuff_classes=tuple(STUFF))
NAMES = WORLD.class_names


def test_every_class_has_an_embedding_of_its_own_of_length_one():
    unit = embed(NAMES)
    assert unit.shape == (len(NAMES), len(ATTRIBUTES))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    alike = unit @ unit.T - 2 * np.eye(len(unit))
    assert alike.max() < 0.97


def test_an_embedding_says_what_the_class_looks_like():
    unit = embed(["zebra"])[0]
    said = {name: float(value) for name, value in zip(ATTRIBUTES, unit, strict=True) if value}
    own = np.sqrt((1 - COMMON) / 3)
    assert said == pytest.approx(
        {
            "any": np.sqrt(COMMON),
            "shape: legs": own,
            "pattern: striped": own,
            # The body is white; black marks cover half as much.
            "colour: white": own * 2 / np.sqrt(5),
            "colour: black": own / np.sqrt(5),
        }
    )


def test_unseen_classes_are_described_by_what_is_said_of_seen_ones():
    split = world_split(WORLD)
    assert {split.classes.names[i] for i in split.unseen} == set(UNSEEN)
    unit = embed(split.classes.names)
    seen, unseen = unit[list(split.seen)], unit[list(split.unseen)]
    # No direction is left that training says nothing about.
    rebuilt = np.linalg.lstsq(seen.T, unseen.T, rcond=None)[0].T @ seen
    np.testing.assert_allclose(rebuilt, unseen, atol=1e-5)
    assert (unseen @ seen.T).max() < 0.97


def test_a_world_without_unseen_classes_has_none_held_out():
    split = world_split(WorldConfig(object_classes=("zebra", "dog"), stuff_classes=("grass",)))
    assert split.unseen == ()
    assert split.seen_names == ("zebra", "dog", "grass")


def test_synonyms_mean_the_same_and_several_are_averaged():
    unit = embed(["dog", "puppy", "dog, cat", "cat"])
    np.testing.assert_array_equal(unit[0], unit[1])
    mean = unit[0] + unit[3]
    np.testing.assert_allclose(unit[2], mean / np.linalg.norm(mean), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zebar", r"class 'zebar': .* got 'zebar'; did you mean 'zebra'\?"),
        (" dog", r"got ' dog'; did you mean 'dog'\?"),
        ("dog, sofa", r"class 'dog, sofa': without a text encoder .* got 'sofa'"),
        ("dog, ", r"expected a name, or several"),
    ],
)
def test_a_word_that_the_world_does_not_know_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        embed(["cat", name])
