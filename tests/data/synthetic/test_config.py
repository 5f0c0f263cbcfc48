import pytest

from ovs_jax.data.synthetic import WorldConfig
from ovs_jax.data.synthetic.catalogue import OBJECTS, STUFF


def test_the_default_world_is_rich_enough():
    config = WorldConfig()
    assert len(config.object_classes) >= 16
    assert len(config.stuff_classes) >= 6
    assert config.max_objects == 4
    assert config.class_names == config.object_classes + config.stuff_classes
    assert len(set(config.class_names)) == len(config.class_names)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 31, "expected at least 32 pixels, got 31"),
        ("object_classes", ("dog", "unicorn"), r"expected names among zebra, .* got \['unicorn'\]"),
        ("stuff_classes", ("dog",), r"expected names among grass, .* got \['dog'\]"),
        ("object_classes", ("dog", "dog"), "expected one or more different names"),
        ("stuff_classes", (), "expected one or more different names"),
        ("max_objects", 9, "expected 0 to 8, got 9"),
        ("coverage", 0.9, "expected 0 to 0.5, got 0.9"),
        ("empty_share", -0.1, "expected 0 to 1, got -0.1"),
        ("jitter", 3.0, "expected 0 to 2, got 3.0"),
        ("colours", ("mauve",), r"expected different names among red, .* got \('mauve',\)"),
        ("colours", ("red", "red"), "expected different names"),
        ("palettes", 0, "expected at least 1, got 0"),
        ("unseen_share", 0.5, "expected 0 to 0.333333, got 0.5"),
    ],
)
def test_an_impossible_value_is_refused_by_name(field, value, message):
    with pytest.raises(ValueError, match=rf"world\.{field}: {message}"):
        WorldConfig(**{field: value})


@pytest.mark.parametrize(("objects", "stuff"), [(16, 6), (20, 8), (6, 6), (3, 2), (1, 1)])
@pytest.mark.parametrize("share", [0.0, 1 / 12, 1 / 3])
def test_unseen_combinations_are_distinct_and_spread_evenly(objects, stuff, share):
    config = WorldConfig(
        object_classes=tuple(OBJECTS)[:objects],
        stuff_classes=tuple(STUFF)[:stuff],
        unseen_share=share,
    )
    pairs = config.unseen_combinations
    assert len(pairs) == len(set(pairs)) == int(share * objects * stuff + 1e-9)
    for place, names in enumerate((config.object_classes, config.stuff_classes)):
        counts = [sum(pair[place] == name for pair in pairs) for name in names]
        assert max(counts) - min(counts) <= 1


def test_colours_make_a_class_of_every_kind_in_every_colour():
    config = WorldConfig(
        object_classes=("zebra", "mug"), stuff_classes=("grass",), colours=("red", "blue")
    )
    assert config.class_names == ("red zebra", "blue zebra", "red mug", "blue mug", "grass")
    assert config.schemes("zebra") == (("red", "darker"), ("blue", "darker"))
    plain = WorldConfig(palettes=2)
    assert plain.schemes("umbrella") == OBJECTS["umbrella"].colours[:2]
