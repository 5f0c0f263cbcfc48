import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.data.synthetic import WorldConfig
from ovs_jax.data.synthetic.catalogue import OBJECTS
from ovs_jax.data.synthetic.draws import Draws
from ovs_jax.data.synthetic.layout import (
    LAYOUT_SIZE,
    SMALLEST_OBJECT,
    SMALLEST_REGION,
    VISIBLE_PART,
    sample_scene,
)
from ovs_jax.data.synthetic.shapes import SHAPES
from ovs_jax.data.synthetic.stamp import stamp

SEEDS = st.integers(0, 2**40)


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(0, 8), st.sampled_from([0.1, 0.3, 0.5]))
def test_what_a_scene_contains_can_be_seen(seed, max_objects, coverage):
    config = WorldConfig(max_objects=max_objects, coverage=coverage)
    scene = sample_scene(Draws(seed), config)
    assert len(scene.objects) <= max_objects
    owner, areas = np.zeros((LAYOUT_SIZE,) * 2, int), []
    for number, item in enumerate(scene.objects, start=1):
        silhouette = stamp(SHAPES[OBJECTS[item.name].shape], item.pose, size=LAYOUT_SIZE)
        owner[silhouette.window][silhouette.roles > 0] = number
        areas.append(np.count_nonzero(silhouette.roles))
    visible = np.bincount(owner.ravel(), minlength=len(areas) + 1)[1:]
    assert (visible >= SMALLEST_OBJECT * owner.size).all()
    assert (visible >= VISIBLE_PART * np.array(areas)).all()
    if len(scene.regions) == 2:
        second = scene.boundary.second_side(LAYOUT_SIZE)[owner == 0]
        shares = np.array([(~second).sum(), second.sum()]) / owner.size
        assert shares.min() >= SMALLEST_REGION


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_held_out_combinations_are_avoided_and_the_sky_is_above(seed):
    config = WorldConfig()
    held_out = tuple((name, "sky") for name in config.object_classes[:10])
    scene = sample_scene(Draws(seed), config, held_out=held_out)
    names = [region.name for region in scene.regions]
    if "sky" in names:
        assert {item.name for item in scene.objects}.isdisjoint(config.object_classes[:10])
        if len(names) == 2:
            assert names[0] == "sky"
            lower = scene.boundary.second_side(64)
            assert lower[48:].mean() > 0.5 > lower[:16].mean()


def test_a_scene_for_which_nothing_is_allowed_has_no_objects():
    config = WorldConfig(stuff_classes=("sky",))
    held_out = tuple((name, "sky") for name in config.object_classes)
    assert not any(sample_scene(Draws(s), config, held_out=held_out).objects for s in range(50))


def test_without_jitter_a_class_keeps_its_colour_and_size():
    config = WorldConfig(
        object_classes=("dog",), jitter=0.0, palettes=1, max_objects=1, empty_share=0.0
    )
    items = [item for seed in range(30) for item in sample_scene(Draws(seed), config).objects]
    assert len(items) == 30
    assert len({(item.body, item.pose.area, item.pose.angle) for item in items}) == 1


def test_colour_ranges_of_classes_overlap():
    config = WorldConfig()
    bodies: dict[str, list] = {}
    for seed in range(1200):
        for item in sample_scene(Draws(seed), config).objects:
            bodies.setdefault(item.name, []).append(item.body)
    # The nearest class mean names the class of a body colour in a minority of cases only.
    means = {name: np.mean(colours, axis=0) for name, colours in bodies.items()}
    right = total = 0
    for name, colours in bodies.items():
        for colour in colours:
            nearest = min(means, key=lambda other: np.linalg.norm(means[other] - colour))
            right += nearest == name
            total += 1
    assert right / total < 0.4
