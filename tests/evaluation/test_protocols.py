import pytest

from ovs_jax.evaluation.protocols import (
    Protocol,
    protocol,
    protocol_names,
    synthetic_protocol,
)
from ovs_jax.evaluation.refinement import Pamr
from ovs_jax.typing import ClassSet

TCL = {
    "voc21": (21, 0.5),
    "context60": (60, 0.5),
    "coco_object81": (81, 0.5),
    "voc20": (20, None),
    "context59": (59, None),
    "coco_stuff171": (171, None),
    "cityscapes19": (19, None),
    "ade150": (150, None),
}
PUBLISHED = {
    "groupvit/voc21": (21, 0.95),
    "groupvit/context60": (60, 0.35),
    "groupvit/coco_object81": (81, 0.95),
    "ovsegmentor/voc21": (21, 0.95),
    "ovsegmentor/context60": (60, 0.35),
    "ovsegmentor/coco_object81": (81, 0.9),
    "ovsegmentor/coco_stuff_ovsegmentor": (172, 0.95),
    "ovsegmentor/coco_object81_ovsegmentor": (81, 0.9),
    "ovsegmentor/ade150": (150, None),
    **{f"tcl/{name}": choices for name, choices in TCL.items()},
}


def test_there_are_the_published_protocols_and_no_others():
    assert set(protocol_names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_protocol_has_the_published_choices(name):
    rules = protocol(*name.split("/"))
    assert (len(rules.classes), rules.background) == PUBLISHED[name]
    assert rules.classes.has_background == (rules.background is not None)
    tcl = name.startswith("tcl/")
    assert len(rules.templates) == (80 if tcl else 1)
    assert "a photo of a {}." in rules.templates
    assert rules.background_rule == ("fixed" if tcl else "best_group")
    assert rules.refinement is None
    assert (rules.geometry.window, rules.geometry.stride) == (448, 224)
    assert (rules.geometry.short_side, rules.geometry.long_side) == (448, 2048)
    dropped = name.endswith(("ade150", "voc20", "context59"))
    assert rules.zero_label == ("drop" if dropped else "keep")
    assert rules.note or not dropped


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_refinement_shows_in_the_name_and_moves_the_threshold_of_tcl_alone(name):
    plain, refined = protocol(*name.split("/")), protocol(*name.split("/"), refinement=Pamr())
    moved = name.startswith("tcl/") and plain.classes.has_background
    assert refined.background == (0.4 if moved else plain.background)
    assert refined.title != plain.title
    assert "10 iterations" in refined.choices()["refinement"]
    changed = {key for key, value in refined.choices().items() if value != plain.choices()[key]}
    assert changed == ({"refinement", "background"} if moved else {"refinement"})


def test_the_two_conversions_of_coco_objects_are_told_apart():
    right, published = (
        protocol("ovsegmentor", f"coco_object81{name}") for name in ("", "_ovsegmentor")
    )
    assert right.title != published.title
    assert right.choices()["labels"] != published.choices()["labels"]
    assert (right.outside_labels, published.outside_labels) == ("error", "count")


def test_every_field_of_a_protocol_shows_in_its_choices():
    base = protocol("ovsegmentor", "voc21")
    changes = {
        "name": "other",
        "classes": ClassSet("two", ("background", "dog"), has_background=True),
        "geometry": type(base.geometry)(window=224, stride=112),
        "templates": ("the {}",),
        "background": 0.5,
        "background_rule": "fixed",
        "refinement": Pamr(iterations=3),
        "note": "peculiar",
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
