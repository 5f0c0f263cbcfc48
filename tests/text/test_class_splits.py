import json

import numpy as np
import pytest

from ovs_jax.text.class_splits import (
    ClassSplit,
    class_split,
    read_class_split,
    split_classes,
    split_names,
)
from ovs_jax.typing import ClassSet

ANIMALS = ClassSet("animals", ("cat", "dog", "cow, ox", "hen"))


@pytest.mark.parametrize(
    ("name", "seen", "unseen", "first_unseen"),
    [("coco_stuff", 156, 15, 156), ("pascal_voc", 15, 5, 15), ("ade20k_full", 572, 275, 166)],
)
def test_the_published_splits_have_their_published_sizes(name, seen, unseen, first_unseen):
    split = class_split(name)
    assert (len(split.seen), len(split.unseen)) == (seen, unseen)
    assert split.unseen[0] == first_unseen
    assert sorted(split.labels) == list(range(seen + unseen))
    assert name in split_names()


def test_the_published_splits_have_their_published_names():
    coco, voc = class_split("coco_stuff"), class_split("pascal_voc")
    assert coco.classes.names[155:158] == ("wood", "cow", "giraffe")
    assert coco.classes.names[-1] == "wall-concrete"
    assert [voc.classes.names[i] for i in voc.unseen] == [
        "potted plant", "sheep", "sofa", "train", "tvmonitor",
    ]  # fmt: skip
    assert voc.classes.names[10] == "diningtable"
    with pytest.raises(ValueError, match="class split 'voc' is unknown"):
        class_split("voc")


def test_labels_become_classes_and_unseen_ones_are_not_trained():
    split = split_classes(ANIMALS, unseen=["dog", "hen"], labels=[7, 2, 9, 4], unseen_last=True)
    assert split.classes.names == ("cat", "cow, ox", "dog", "hen")
    assert split.seen_names == ("cat", "cow, ox")
    label = np.asarray([[7, 2, 9, 4, 255]])
    np.testing.assert_array_equal(split.evaluated(label, ignore_label=255), [[0, 2, 1, 3, -1]])
    np.testing.assert_array_equal(split.trained(label, ignore_label=255), [[0, -1, 1, -1, -1]])
    for strange in (3, -1, 300):
        with pytest.raises(ValueError, match=rf"labels \[{strange}\] are of no class of 'animals'"):
            split.trained(np.asarray([[7, strange]]), ignore_label=255)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"unseen": ["dog", "dog"]}, "expected every class once, got .'dog'. twice"),
        ({"unseen": ["dog"], "seen": ["cat", "dog"]}, "are in the seen and in the unseen list"),
        ({"unseen": ["dog"], "seen": ["cat"]}, "2 of 4 classes are in neither list, such as"),
        ({"unseen": ["dog "]}, "did you mean 'dog'"),
        ({"unseen": ["ox"]}, "did you mean 'cow, ox'. Names count in full"),
        ({"unseen": ["dgo"]}, "did you mean 'dog'"),
        ({"unseen": list(ANIMALS.names)}, "at least one seen class"),
        ({"unseen": ["dog"], "labels": [0, 1, 2]}, "a label for each of 4 classes, got 3"),
        ({"unseen": ["dog"], "labels": [0, 1, 1, 2]}, r"got \[1\] for several"),
        ({"unseen": ["dog"], "labels": [0, 1, -1, 2]}, "0 or above; got -1"),
    ],
)
def test_lists_that_do_not_fit_are_refused_by_name(lists, message):
    with pytest.raises(ValueError, match=message):
        split_classes(ANIMALS, **lists)


def test_a_split_checks_itself():
    with pytest.raises(ValueError, match="ascending unseen indices"):
        ClassSplit(ANIMALS, unseen=(2, 1), labels=(0, 1, 2, 3))
    with pytest.raises(ValueError, match="without background"):
        ClassSplit(ClassSet("a", ("background", "b"), has_background=True), (), (0, 1))
    with pytest.raises(ValueError, match="expected a name, or several"):
        ClassSplit(ClassSet("a", ("b", "c, , d")), (), (0, 1))


def test_a_split_is_read_from_a_file_of_the_user(tmp_path):
    file = tmp_path / "pets.json"
    file.write_text(json.dumps({"classes": [[5, "cat"], [3, "dog"]], "unseen": ["dog"]}))
    split = read_class_split(file)
    assert (split.name, split.labels, split.unseen) == ("pets", (5, 3), (1,))
    file.write_text(json.dumps({"classes": ["cat", "dog"], "unseen": ["dog"], "seen": ["cat"]}))
    assert read_class_split(file).labels == (0, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object of lists"),
        ('{"classes": ["a"]}', "expected the fields classes, unseen"),
        ('{"classes": ["a"], "unseen": [], "odd": []}', "got .'classes', 'odd', 'unseen'"),
        ('{"classes": [["1", "a"]], "unseen": []}', "pairs of a whole number and a name"),
        ('{"classes": [1], "unseen": []}', "expected names"),
        ('{"classes": ["a ", "b"], "unseen": []}', "'a '. have stray blanks"),
        ('{"classes": [[0, "a"], [0, "b"]], "unseen": ["b"]}', "for several"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, message):
    file = tmp_path / "split.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_class_split(file)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_class_split(tmp_path / "none.json")
