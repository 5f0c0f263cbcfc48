"""Training batches of labelled images: what stands in them, and what goes wrong."""

import pickle
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ovs_jax.data.label_transforms import LabelRecipe
from ovs_jax.data.labelled import labelled_batches, labelled_pixels, present_classes
from ovs_jax.data.pipeline_config import StreamConfig
from ovs_jax.data.records import BadRecordError
from ovs_jax.text.class_splits import split_classes
from ovs_jax.typing import ClassSet

SPLIT = split_classes(ClassSet("pets", ("cat", "dog", "cow", "hen")), unseen=["dog"])
RECIPE = LabelRecipe(size=16, short_sides=(16,))
FIELDS = ("image", "label", "classes")


def png(array):
    buffer = BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@dataclass(frozen=True)
class Scenes:
    """Record i has a label map of one class, i % 4 (1 is unseen), and perhaps a fault."""

    faults: tuple[tuple[int, str], ...] = ()
    records: int = 12

    def __len__(self):
        return self.records

    def __getitem__(self, index):
        label = np.full((20, 24), index % 4, np.int32)
        label[0] = 255
        image = np.full((20, 24, 3), index, np.uint8)
        fault = dict(self.faults).get(index, "")
        if fault == "size":
            label = np.zeros((30, 24), np.int32)
        if fault == "label":
            label[5] = 9
        if fault == "kind":
            label = label.astype(np.float32)
        stored = label if fault else png(label)
        return {"image": png(image), "label": stored, "key": f"scene {index}"}


def stream(source, **changes):
    config = StreamConfig(**{"batch_size": 4, "threads": 0} | changes)
    return labelled_batches(source, SPLIT, config, recipe=RECIPE, most_classes=3)


def test_a_batch_has_seen_indices_and_the_classes_that_occur():
    batches = stream(Scenes())
    seen = []
    for _ in range(3):
        batch = next(batches)
        assert batch["image"].shape == (4, 16, 16, 3)
        assert batch["image"].dtype == np.uint8
        assert batch["label"].dtype == batch["classes"].dtype == np.int32
        for label, classes in zip(batch["label"], batch["classes"], strict=True):
            found = np.unique(label[label >= 0]).tolist()
            assert classes.tolist() == found + [-1] * (3 - len(found))
            seen.append(tuple(found))
    # Three scenes of each class; cow and hen move up by one, as dog is not trained.
    assert sorted(seen) == [()] * 3 + [(0,)] * 3 + [(1,)] * 3 + [(2,)] * 3
    batches.close()


def test_batches_are_a_function_of_seed_step_and_slot():
    first, second = stream(Scenes(), seed=3), stream(Scenes(), seed=3, threads=2)
    other = stream(Scenes(), seed=4)
    for step in range(4):
        one, two = next(first), next(second)
        assert all((one[name] == two[name]).all() for name in FIELDS), step
        assert (one["image"] != next(other)["image"]).any()
    state = first.get_state()
    want = next(first)
    resumed = stream(Scenes(), seed=3)
    resumed.set_state(state)
    assert all((next(resumed)[name] == want[name]).all() for name in ("image",))
    for batches in (first, second, other, resumed):
        batches.close()


def test_processes_build_the_parts_of_the_whole_batch():
    whole = stream(Scenes(), slices=2)
    parts = [stream(Scenes(), slices=2, process_index=i, process_count=2) for i in range(2)]
    for _ in range(2):
        want = next(whole)
        found = [next(part) for part in parts]
        for name in FIELDS:
            np.testing.assert_array_equal(np.concatenate([x[name] for x in found]), want[name])


def test_the_builder_travels_to_workers():
    batches = stream(Scenes())
    builder = batches._builder
    for name, value in pickle.loads(pickle.dumps(builder))(5)[0].items():
        np.testing.assert_array_equal(value, builder(5)[0][name])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("size", "label map and image differ in size"),
        ("label", "labels of no class"),
        ("kind", "label map of wrong kind"),
    ],
)
def test_bad_records_are_counted_by_reason_and_replaced(fault, reason):
    batches = stream(Scenes(faults=((2, fault),)), max_bad_share=1.0)
    for _ in range(3):
        assert next(batches)["image"].shape == (4, 16, 16, 3)
    assert batches.bad == {reason: 1}


def test_a_label_map_larger_than_its_image_is_named_with_both_sizes():
    record = Scenes(faults=((0, "size"),))[0]
    with pytest.raises(BadRecordError, match=r"scene 0: .*24 x 20 pixels as the image.*24 x 30"):
        labelled_pixels(record)
    with pytest.raises(ValueError, match=r"misses .'label'."):
        labelled_pixels({"image": b"", "key": "x"})


def test_data_without_a_good_record_is_given_up():
    batches = stream(Scenes(faults=tuple((i, "label") for i in range(12))))
    with pytest.raises(ValueError, match="32 records in a row cannot be used; the last was scene"):
        next(batches)


def test_of_too_many_classes_the_smallest_are_ignored(caplog):
    label = np.asarray([[0, 0, 0, 5, 5, 2, -1, 7, 7, 7]], np.int32)
    with caplog.at_level("WARNING"):
        kept, classes = present_classes(label, most=2)
    assert classes.tolist() == [0, 7]
    assert kept.tolist() == [[0, 0, 0, -1, -1, -1, -1, 7, 7, 7]]
    assert "an image has 4 classes" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 13}, "batch_size 13 is more than the 12 usable records"),
    ],
)
def test_configs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        stream(Scenes(), **changes)
