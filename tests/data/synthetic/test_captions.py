import re

import numpy as np
import pytest

from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig
from ovs_jax.data.synthetic.catalogue import OBJECTS, STUFF
from ovs_jax.data.synthetic.layout import SMALLEST_OBJECT, SMALLEST_REGION
from ovs_jax.text.entities import EntityVocabulary, entity_rule

EVERYTHING = WorldConfig(
    object_classes=tuple(OBJECTS),
    stuff_classes=tuple(STUFF),
    attribute_rate=1.0,
    synonym_rate=0.5,
    palettes=4,
)
NUMBERS = {"two": 2, "three": 3, "four": 4}


def named(world, caption):
    words = world.entities()
    return [words[word] for word in re.findall(r"\w+", caption) if word in words]


@pytest.mark.parametrize("config", [WorldConfig(), EVERYTHING], ids=["default", "everything"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_caption_names_each_visible_class_once_and_no_other(config, split):
    world = SyntheticWorld(config, split=split, length=250)
    names = world.class_set.names
    for index, caption in enumerate(world.captions()):
        label = world.drawing(index).label
        counts = np.bincount(label.ravel(), minlength=len(names)) / label.size
        present = [name for name, share in zip(names, counts, strict=True) if share]
        assert sorted(named(world, caption)) == sorted(present), caption
        smallest = {n: SMALLEST_OBJECT if n in OBJECTS else SMALLEST_REGION for n in present}
        for name, share in zip(names, counts, strict=True):
            # Half, because the layout raster knows a pixel's object but not its neighbours' edges.
            assert share == 0 or share >= 0.5 * smallest[name], (caption, name, share)


def test_every_class_of_a_caption_is_visible_at_other_image_sizes():
    for size in (32, 97, 160):
        world = SyntheticWorld(WorldConfig(size=size), length=60)
        names = world.class_set.names
        for index, caption in enumerate(world.captions()):
            present = {names[i] for i in np.unique(world.drawing(index).label)}
            assert set(named(world, caption)) == present


def test_number_words_count_the_objects():
    world = SyntheticWorld(EVERYTHING, length=600)
    words, checked = world.entities(), 0
    for index, caption in enumerate(world.captions()):
        counts = dict.fromkeys(world.config.object_classes, 0)
        for item in world.scene(index).objects:
            counts[item.name] += 1
        tokens = re.findall(r"\w+", caption)
        for position, token in enumerate(tokens):
            if token in NUMBERS:
                following = next(words[t] for t in tokens[position:] if t in words)
                assert counts[following] == NUMBERS[token], caption
                checked += 1
        for name, count in counts.items():
            if count > 1:
                plural = [n.plural for n in (OBJECTS[name].noun, *OBJECTS[name].synonyms)]
                assert any(word in tokens for word in plural), caption
    assert checked > 60


def test_optional_words_are_true_of_the_picture():
    world = SyntheticWorld(EVERYTHING, length=600)
    seen = set()
    for index, caption in enumerate(world.captions()):
        scene = world.scene(index)
        areas = [item.pose.area for item in scene.objects]
        if re.search(r"\b(big|large)\b", caption):
            seen.add("large")
            assert max(areas) > 0.2
        if re.search(r"\b(small|little)\b", caption):
            seen.add("small")
            assert min(areas) < 0.1
        if "at the top" in caption:
            seen.add("top")
            assert min(item.pose.y for item in scene.objects) < 0.32
        if "at the bottom" in caption:
            seen.add("bottom")
            assert max(item.pose.y for item in scene.objects) > 0.68
        if re.search(r"\bpurple\b", caption):
            seen.add("purple")
            assert "purple" in {item.colour for item in scene.objects}
    assert seen == {"large", "small", "top", "bottom", "purple"}


def test_captions_keep_to_simple_grammar():
    captions = SyntheticWorld(EVERYTHING, length=800).captions()
    for caption in captions:
        assert caption == " ".join(caption.split()).lower()
        assert not re.search(r"\ba [aeiou]", caption), caption
        assert not re.search(r"\ban [^aeiou]", caption), caption
        assert not re.search(r"\b(left|right)\b", caption), "a mirrored image keeps its caption"
        assert not re.search(r"\b(\w+) \1\b", caption), caption


def test_captions_of_a_batch_almost_always_differ():
    captions = SyntheticWorld(length=128 * 8).captions()
    different = [len(set(captions[start : start + 128])) for start in range(0, 1024, 128)]
    assert np.mean(different) / 128 > 0.985
    assert len({caption.split()[0] for caption in captions}) > 8


def test_without_optional_words_and_synonyms_only_class_names_are_used():
    config = WorldConfig(attribute_rate=0.0, synonym_rate=0.0)
    text = " ".join(SyntheticWorld(config, length=400).captions())
    words = set(text.replace(",", "").split())
    assert words.isdisjoint({"puppy", "lake", "beach", "small", "large", "top", "striped", "blue"})


def test_the_corrected_entity_rule_finds_exactly_the_classes_of_a_scene():
    world = SyntheticWorld(length=300)
    words = world.entities()
    rule = entity_rule("corrected", EntityVocabulary(tuple(words), words))
    for index, caption in enumerate(world.captions()):
        assert set(rule.entities(caption)) == world.scene(index).classes
