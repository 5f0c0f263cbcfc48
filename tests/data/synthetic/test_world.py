import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.data.records import CaptionSource, Source
from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig

SMALL = WorldConfig(
    object_classes=("dog", "bus", "pizza"), stuff_classes=("grass", "sky"), max_objects=2
)
INDICES = st.integers(0, 10**6 - 1)


@pytest.fixture(scope="module")
def drawings():
    world = SyntheticWorld(length=500, seed=5)
    return [world.drawing(index) for index in range(500)]


def same(first, second):
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), INDICES)
def test_a_scene_is_a_function_of_seed_and_index(seed, index):
    first = SyntheticWorld(seed=seed, length=10**6)
    second = SyntheticWorld(seed=seed, length=10**6)
    second[(index + 1) % 10**6]  # reading another scene before changes nothing
    assert same(first[index], second[index])
    assert same(first.segmentation()[index], second.segmentation()[index])
    np.testing.assert_array_equal(first[index]["image"], first.segmentation()[index]["image"])


def test_access_in_any_order_gives_the_same_scenes():
    world = SyntheticWorld(length=30)
    forward = [world[index] for index in range(30)]
    for index in np.random.default_rng(0).permutation(30):
        assert same(world[index], forward[index])


def test_a_longer_world_begins_with_the_shorter_one():
    assert same(SyntheticWorld(length=3)[2], SyntheticWorld(length=3000)[2])


def test_scenes_are_the_same_on_every_machine_and_in_every_release():
    # Results and the shipped vocabulary belong to these scenes: change them knowingly.
    assert list(SyntheticWorld(length=3).captions()) == [
        "there is a blue ball at the bottom and a red umbrella near the gray water",
        "a cake at the side on a lawn",
        "sand",
    ]
    assert list(SyntheticWorld(split="validation", seed=1, length=2).captions()) == [
        "by a high wall, a dog",
        "two sheep with warm sand behind",
    ]


def test_a_world_is_a_source_with_captions():
    world = SyntheticWorld(length=3)
    assert isinstance(world, CaptionSource)
    assert isinstance(world.segmentation(), Source)


def test_records_have_the_agreed_fields_and_types():
    world = SyntheticWorld(length=3)
    record = world[1]
    assert set(record) == {"image", "caption", "key"}
    assert record["image"].shape == (64, 64, 3)
    assert record["image"].dtype == np.uint8
    assert isinstance(record["caption"], str)
    labelled = world.segmentation()[1]
    assert set(labelled) == {"image", "label", "key"}
    assert labelled["label"].shape == (64, 64)
    assert labelled["label"].dtype == np.int32
    assert labelled["key"] == record["key"]
    assert len(world) == len(world.segmentation()) == 3


def test_captions_come_without_pictures_and_equal_those_of_the_records():
    world = SyntheticWorld(length=40)
    assert list(world.captions()) == [world[index]["caption"] for index in range(40)]


def test_iteration_ends_at_the_length():
    world = SyntheticWorld(SMALL, length=4)
    assert [record["key"] for record in world] == [world.key(index) for index in range(4)]


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_outside_the_world_is_refused(index):
    with pytest.raises(IndexError, match=f"world has scenes 0 to 3, got {index}"):
        SyntheticWorld(SMALL, length=4)[index]


def test_a_world_survives_pickling_as_input_workers_need():
    world = SyntheticWorld(SMALL, length=9, seed=2, split="validation")
    assert same(pickle.loads(pickle.dumps(world))[7], world[7])


def test_splits_and_seeds_share_no_scene():
    worlds = [
        SyntheticWorld(split=split, seed=seed, length=150)
        for split in ("train", "validation")
        for seed in (0, 1)
    ]
    keys = {world.key(index) for world in worlds for index in range(150)}
    scenes = {world.scene(index) for world in worlds for index in range(150)}
    images = {world[index]["image"].tobytes() for world in worlds for index in range(150)}
    assert len(keys) == len(scenes) == len(images) == 600


def test_the_label_map_covers_the_picture_with_known_classes(drawings):
    classes = len(SyntheticWorld().class_set)
    labels = np.stack([drawing.label for drawing in drawings])
    assert labels.min() >= 0
    assert labels.max() < classes
    # Every class takes part over 500 scenes, and no class dominates.
    shares = np.bincount(labels.ravel(), minlength=classes) / labels.size
    assert shares.min() > 0.005
    assert shares.max() < 0.2


def test_objects_cover_20_to_40_percent_of_a_scene_on_average(drawings):
    objects = len(SyntheticWorld().config.object_classes)
    covered = np.array([(drawing.label < objects).mean() for drawing in drawings])
    assert 0.2 < covered.mean() < 0.4
    assert 0.05 < (covered == 0).mean() < 0.2
    assert covered.max() < 0.85


@pytest.mark.parametrize("coverage", [0.15, 0.3])
@pytest.mark.parametrize("max_objects", [1, 4])
def test_the_coverage_follows_the_config(coverage, max_objects):
    config = WorldConfig(coverage=coverage, max_objects=max_objects)
    world = SyntheticWorld(config, length=300)
    labels = np.stack([world.drawing(index).label for index in range(300)])
    assert abs((labels < len(config.object_classes)).mean() - coverage) < 0.2 * coverage


def test_every_number_of_objects_occurs():
    world = SyntheticWorld(length=300)
    counts = np.bincount([len(world.scene(index).objects) for index in range(300)])
    assert len(counts) == 5
    assert counts.min() > 0.04 * 300


def test_unseen_combinations_occur_in_validation_only():
    unseen = set(WorldConfig().unseen_combinations)
    assert len(unseen) == 8

    def combinations(split):
        world = SyntheticWorld(split=split, length=1500)
        pairs = set()
        for index in range(len(world)):
            scene = world.scene(index)
            pairs |= {(o.name, r.name) for o in scene.objects for r in scene.regions}
        return pairs

    config = WorldConfig()
    every = {(o, s) for o in config.object_classes for s in config.stuff_classes}
    assert combinations("train") == every - unseen
    assert combinations("validation") == every


def test_unseen_combinations_are_absent_from_the_pixels_of_training_scenes():
    world = SyntheticWorld(length=200)
    names = world.class_set.names
    for index in range(len(world)):
        present = {names[i] for i in np.unique(world.drawing(index).label)}
        assert not any(o in present and s in present for o, s in world.unseen_combinations)


def test_colours_are_drawn_and_told_by_the_labels():
    kinds, colours = ("umbrella", "ball"), ("red", "green")
    config = WorldConfig(object_classes=kinds, stuff_classes=("snow",), colours=colours, noise=0.0)
    world = SyntheticWorld(config, length=40)
    names, found = world.class_set.names, set()
    assert names == ("red umbrella", "green umbrella", "red ball", "green ball", "snow")
    for index in range(len(world)):
        drawing, scene = world.drawing(index), world.scene(index)
        present = {names[label] for label in np.unique(drawing.label)}
        assert present <= {f"{item.colour} {item.name}" for item in scene.objects} | {"snow"}
        found |= present
        for label in set(np.unique(drawing.label).tolist()) - {4}:
            red, green, _ = drawing.image[drawing.label == label].mean(0)
            assert (red > green) == names[label].startswith("red")
    assert found == set(names)


def test_the_object_view_merges_stuff_into_the_background():
    world = SyntheticWorld(SMALL, length=40)
    everything, objects = world.segmentation(), world.segmentation("objects")
    assert everything.class_set.names == ("dog", "bus", "pizza", "grass", "sky")
    assert not everything.class_set.has_background
    assert objects.class_set.names == ("background", "dog", "bus", "pizza")
    assert objects.class_set.has_background
    for index in range(40):
        label = everything[index]["label"]
        expected = np.select([label == 0, label == 1, label == 2], [1, 2, 3], 0)
        np.testing.assert_array_equal(objects[index]["label"], expected)
        np.testing.assert_array_equal(objects[index]["image"], everything[index]["image"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "world.seed: expected 0 or more, got -1"),
        ({"length": 0}, "world.length: expected at least 1 scene, got 0"),
    ],
)
def test_impossible_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticWorld(**arguments)


def test_the_entities_are_the_classes_by_all_their_words():
    entities = SyntheticWorld().entities()
    assert set(entities.values()) == set(SyntheticWorld().class_set.names)
    assert entities["puppies"] == entities["puppy"] == entities["dogs"] == entities["dog"] == "dog"
    assert entities["lake"] == "water"
    assert SyntheticWorld(SMALL).entities().keys().isdisjoint({"cat", "lake"})
