import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ovs_jax.data.benchmarks import conversion
from ovs_jax.data.benchmarks.catalogue import BENCHMARKS
from ovs_jax.data.records import BadRecordError

VIEWS = [view for item in BENCHMARKS.values() for view in item.views if view.table is not None]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_class_of_a_list_is_reached_by_some_id(view) -> None:
    reached = set(view.table.tolist()) - {conversion.UNKNOWN, view.ignore_label}
    beyond = {81} if view.name == "coco_object81_ovsegmentor" else set()
    assert reached == set(range(len(view.classes))) | beyond


@given(
    ids=arrays.arrays(np.int32, (4, 5), elements=st.integers(-2, 300)),
    known=st.dictionaries(st.integers(0, 255), st.integers(0, 90), min_size=1),
)
def test_a_table_does_what_a_loop_over_pixels_does(ids, known) -> None:
    table = conversion.table(known)
    if all(int(i) in known for i in ids.ravel()):
        expected = [[known[int(i)] for i in row] for row in ids]
        assert conversion.convert(ids, table, name="x").tolist() == expected
    else:
        with pytest.raises(BadRecordError, match="x: unknown label ids"):
            conversion.convert(ids, table, name="x")


def test_a_map_without_faults_is_converted_like_a_loop() -> None:
    rng = np.random.default_rng(0)
    table = conversion.coco_stuff()
    ids = rng.choice(np.flatnonzero(table >= 0), (30, 40)).astype(np.int32)
    expected = [[int(table[i]) for i in row] for row in ids]
    assert conversion.convert(ids, table, name="x").tolist() == expected


def test_labels_are_derived_where_nothing_is_lost() -> None:
    voc21, voc20 = conversion.keep(21), conversion.drop_zero(20, stored_ignore=True)
    forth = conversion.derive(voc21, voc20)
    assert forth is not None
    assert forth[[0, 1, 20, 255]].tolist() == [255, 0, 19, 255]
    assert conversion.derive(voc20, voc21) is None  # background and border are one there
    right, published = conversion.coco_objects(), conversion.coco_objects_ovsegmentor()
    assert conversion.derive(right, published) is None
    stuff = conversion.derive(conversion.coco_stuff(), conversion.coco_stuff_ovsegmentor())
    assert stuff is not None
    assert stuff[[0, 170, 255]].tolist() == [1, 171, 0]


def test_the_tables_of_coco_tell_things_from_stuff() -> None:
    stuff, objects = conversion.coco_stuff(), conversion.coco_objects()
    assert (stuff >= 0).sum() == 172  # 171 classes and "unlabelled"
    assert [int(i) for i in np.flatnonzero(objects > 0)] == [
        int(i) for i in np.flatnonzero((stuff >= 0) & (stuff < 80))
    ]
    # Ids as the generalised zero-shot splits list them.
    assert [int(stuff[i]) for i in (20, 24, 171)] == [19, 23, 160]


def test_lists_of_more_than_255_classes_ignore_65535() -> None:
    assert conversion.ignore_label(255) == 255
    assert conversion.ignore_label(256) == 65535
