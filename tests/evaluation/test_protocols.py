import pytest

from ovs_jax.evaluation.protocols import (
    Protocol,
    protocol,
    protocol_names,
    synthetic_protocol,
)
from ovs_jax.typing import ClassSet

PUBLISHED = {
    "groupvit/voc21": (21, 0.95),
    "groupvit/context60": (60, 0.35),
    "groupvit/coco_object81": (81, 0.95),
    "ovsegmentor/voc21": (21, 0.95),
    "ovsegmentor/context60": (60, 0.35),
    "ovsegmentor/coco_object81": (81, 0.9),
    "ovsegmentor/coco_stuff_ovsegmentor": (172, 0.95),
    "ovsegmentor/ade150": (150, None),
}


def test_there_are_the_published_protocols_and_no_others():
    assert set(protocol_names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_protocol_has_the_published_choices(name):
    rules = protocol(*name.split("/"))
    assert (len(rules.classes), rules.background) == PUBLISHED[name]
    assert rules.classes.has_background == (rules.background is not None)
    assert rules.templates == ("a photo of a {}.",)
    assert (rules.geometry.window, rules.geometry.stride) == (448, 224)
    assert (rules.geometry.short_side, rules.geometry.long_side) == (448, 2048)
    assert rules.zero_label == ("drop" if name.endswith("ade150") else "keep")


def test_every_field_of_a_protocol_shows_in_its_choices():
    base = protocol("ovsegmentor", "voc21")
    changes = {
        "name": "other",
        "classes": ClassSet("two", ("background", "dog"), has_background=True),
        "geometry": type(base.geometry)(window=224, stride=112),
        "templates": ("the {}",),
        "background": 0.5,
        "ignore_label": 254,
        "zero_label": "drop",
        "outside_labels": "count",
    }
    for field, value in changes.items():
        fields = {name: getattr(base, name) for name in changes} | {field: value}
        assert Protocol(**fields).choices() != base.choices(), field


def test_every_part_of_the_geometry_shows_in_the_choices():
    base = protocol("groupvit", "voc21")
    for field, value in {"window": 480, "stride": 9, "short_side": 9, "long_side": 999}.items():
        geometry = type(base.geometry)(**{field: value})
        assert Protocol("groupvit", base.classes, geometry=geometry, background=0.95).choices() != (
            base.choices()
        )


@pytest.mark.parametrize(
    ("preset", "dataset", "message"),
    [
        ("ovseg", "voc21", "did you mean 'ovsegmentor'"),
        ("groupvit", "voc", "did you mean 'voc21'"),
        ("groupvit", "ade150", "protocol preset 'groupvit': unknown 'ade150'"),
    ],
)
def test_an_unknown_protocol_is_an_error_with_a_suggestion(preset, dataset, message):
    with pytest.raises(ValueError, match=message):
        protocol(preset, dataset)


def test_a_background_needs_a_threshold_and_the_other_way_round():
    plain = ClassSet("plain", ("dog",))
    with pytest.raises(ValueError, match=r"expected None for class list 'plain', got 0\.5"):
        synthetic_protocol(plain, size=64, background=0.5)
    with pytest.raises(ValueError, match="expected a threshold for class list 'bg', got None"):
        synthetic_protocol(ClassSet("bg", ("background", "dog"), has_background=True), size=64)


def test_a_synthetic_scene_is_one_window_at_its_own_size():
    geometry = synthetic_protocol(ClassSet("plain", ("dog",)), size=64).geometry
    assert geometry.resized_size(64, 64) == (64, 64)
    assert geometry.window == 64
