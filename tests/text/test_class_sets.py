import pytest

from ovs_jax.text.class_sets import class_set, class_set_names

SIZES = {
    "voc21": 21,
    "voc20": 20,
    "context60": 60,
    "context59": 59,
    "coco_object81": 81,
    "coco_stuff171": 171,
    "coco_stuff_ovsegmentor": 172,
    "ade150": 150,
    "ade847": 847,
    "cityscapes19": 19,
}


def test_every_published_list_has_its_number_of_classes() -> None:
    assert {name: len(class_set(name)) for name in class_set_names()} == SIZES


def test_the_background_is_first_where_there_is_one() -> None:
    with_background = {name for name in class_set_names() if class_set(name).has_background}
    assert with_background == {"voc21", "context60", "coco_object81", "coco_stuff_ovsegmentor"}
    assert class_set("voc21").foreground == class_set("voc20").names
    assert class_set("context60").foreground == class_set("context59").names


def test_names_are_spelled_as_published() -> None:
    assert class_set("ade150").names[7] == "bed "
    assert class_set("voc21").names[20] == "monitor"
    assert class_set("ade847").names[:2] == ("wall", "building, edifice")  # synonyms


def test_an_unknown_list_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"class list 'voc' is unknown; expected one of .*'voc21'"):
        class_set("voc")
