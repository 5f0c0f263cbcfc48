import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovs_jax.conversion.rules import (
    ConversionError,
    Rule,
    Transform,
    matches,
    select,
    to_foreign,
    to_ours,
)

SMALL = st.integers(1, 5)


def foreign_shape(kind, a, b, size):
    return {
        "same": (a, b),
        "transpose": (a, b),
        "patches": (a, 3, size, size),
        "first": (1, a, b),
        "row": (a,),
        "last": (a, b, 1),
    }[kind]


OURS_SHAPE = {
    "same": lambda a, b, size: (a, b),
    "transpose": lambda a, b, size: (b, a),
    "patches": lambda a, b, size: (size * size * 3, a),
    "first": lambda a, b, size: (a, b),
    "row": lambda a, b, size: (1, a),
    "last": lambda a, b, size: (b, a),
}


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(OURS_SHAPE)), a=SMALL, b=SMALL, size=SMALL)
def test_every_transform_is_undone_by_its_inverse(kind, a, b, size):
    transform = Transform(kind)
    foreign = np.arange(np.prod(foreign_shape(kind, a, b, size)), dtype=np.float32)
    foreign = foreign.reshape(foreign_shape(kind, a, b, size))
    ours = transform.apply(foreign)
    assert ours.shape == OURS_SHAPE[kind](a, b, size)
    np.testing.assert_array_equal(transform.invert(ours), foreign)
    np.testing.assert_array_equal(transform.apply(transform.invert(ours)), ours)


def test_a_patch_kernel_runs_over_row_column_and_colour():
    foreign = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)  # out, colour, row, column
    ours = Transform("patches").apply(foreign)
    for row, column, colour in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(
            ours[(row * 2 + column) * 3 + colour], foreign[:, colour, row, column]
        )


RULES = [
    Rule("scale", ("scale",)),
    Rule(
        "layers.{i}.qkv.weight",
        tuple(f"layers/{{i}}/{p}/kernel" for p in "qkv"),
        Transform("transpose"),
    ),
    Rule("layers.{i}.qkv.bias", tuple(f"layers/{{i}}/{p}/bias" for p in "qkv")),
    Rule("layers.{i}.blocks.{j}.weight", ("layers/{i}/blocks/{j}/kernel",), Transform("transpose")),
    Rule("norm.running_mean", ("norm/mean",)),
    Rule("pooler.*", reason="not used"),
]


def state():
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return {
        "scale": draw(),
        "layers.0.qkv.weight": draw(6, 4),
        "layers.0.qkv.bias": draw(6),
        "layers.12.qkv.weight": draw(6, 4),
        "layers.12.qkv.bias": draw(6),
        "layers.12.blocks.3.weight": draw(5, 2),
        "norm.running_mean": draw(3),
        "pooler.dense.weight": draw(2, 2),
    }


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, np.float32)


def layer():
    return {p: {"kernel": shape(4, 2), "bias": shape(2)} for p in "qkv"}


PARAMS = {
    "scale": shape(),
    "layers": {"0": layer(), "12": layer() | {"blocks": {"3": {"kernel": shape(2, 5)}}}},
}
STATS = {"norm": {"mean": shape(3)}}


def convert(state, params=PARAMS, stats=STATS):
    return to_ours(state, RULES, params=params, stats=stats)


def test_every_array_lands_at_its_path_and_what_is_ignored_has_a_reason():
    source = state()
    converted = convert(source)
    assert jax.tree.structure(converted.params) == jax.tree.structure(PARAMS)
    np.testing.assert_array_equal(
        converted.params["layers"]["12"]["blocks"]["3"]["kernel"],
        source["layers.12.blocks.3.weight"].T,
    )
    np.testing.assert_array_equal(converted.stats["norm"]["mean"], source["norm.running_mean"])
    assert converted.ignored == {"pooler.dense.weight": "not used"}


def test_fused_rows_are_query_key_and_value_in_order():
    source = state()
    layers = convert(source).params["layers"]["0"]
    for place, part in enumerate("qkv"):
        rows = slice(2 * place, 2 * place + 2)
        np.testing.assert_array_equal(layers[part]["kernel"], source["layers.0.qkv.weight"][rows].T)
        np.testing.assert_array_equal(layers[part]["bias"], source["layers.0.qkv.bias"][rows])


def test_there_and_back_gives_the_same_state():
    source = state()
    converted = convert(source)
    back = to_foreign(converted.params, RULES) | to_foreign(converted.stats, RULES)
    kept = {name: array for name, array in source.items() if name not in converted.ignored}
    assert back.keys() == kept.keys()
    for name, array in kept.items():
        np.testing.assert_array_equal(back[name], array)


def test_converted_arrays_are_contiguous():
    converted = convert(state())
    assert all(leaf.flags.c_contiguous for leaf in jax.tree.leaves(converted.params))


def test_everything_that_does_not_fit_is_listed_in_one_error():
    source = state()
    del source["layers.0.qkv.bias"]  # missing
    source["layers.12.blocks.3.weight"] = np.zeros((5, 3), np.float32)  # misshapen
    source["decoder.weight"] = np.zeros(1, np.float32)  # unknown
    source["layers.1.qkv.bias"] = np.zeros(6, np.float32)  # of a layer that is not there
    with pytest.raises(ConversionError) as error:
        convert(source)
    assert set(str(error.value).splitlines()) == {
        "8 problems in the conversion:",
        "decoder.weight: no rule for it",
        *(f"layers/0/{part}/bias: nothing fills it" for part in "qkv"),
        "layers/12/blocks/3/kernel: got shape (3, 5), expected (2, 5)",
        *(f"layers/1/{part}/bias: the model has no such leaf" for part in "qkv"),
    }


def test_arrays_with_other_axes_than_their_rule_asks_for_are_listed_as_well():
    source = {
        "qkv": np.zeros(7, np.float32),
        "patch": np.zeros((2, 3), np.float32),
        "conv": np.zeros((2, 3, 3), np.float32),
        "position": np.zeros((2, 5, 4), np.float32),
        "other": np.zeros(1, np.float32),
    }
    ours = [
        Rule("qkv", ("q", "k", "v")),
        Rule("patch", ("patch",), Transform("patches")),
        Rule("conv", ("conv",), Transform("last")),
        Rule("position", ("position",), Transform("first")),
    ]
    with pytest.raises(ConversionError, match="5 problems") as error:
        to_ours(source, ours, params={}, stats={})
    for name in ("qkv", "patch", "conv", "position"):
        array = source[name]
        assert f"{name}: shape {array.shape} does not fit its rule" in str(error.value)


def test_a_position_embedding_may_lack_its_leading_axis():
    array = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(Transform("first").apply(array), array)
    np.testing.assert_array_equal(Transform("first").apply(array[None]), array)


def test_a_number_in_a_template_matches_digits_and_nothing_else():
    source = state() | {"layers.x.qkv.bias": np.zeros(6, np.float32)}
    with pytest.raises(ConversionError, match=r"layers\.x\.qkv\.bias: no rule for it"):
        convert(source)


def test_a_partial_tree_gives_the_foreign_arrays_that_are_complete():
    """Of gradients and frozen parts only some leaves exist."""
    params = convert(state()).params
    part = {"scale": params["scale"], "layers": {"0": params["layers"]["0"]}}
    assert to_foreign(part, RULES).keys() == {
        "scale",
        "layers.0.qkv.weight",
        "layers.0.qkv.bias",
    }
    lonely = {"layers": {"0": {"q": params["layers"]["0"]["q"], "k": params["layers"]["0"]["k"]}}}
    assert to_foreign(lonely, RULES) == {}


def test_a_path_of_ours_that_no_rule_knows_is_an_error():
    tree = {"scale": np.zeros(()), "head": {"kernel": np.zeros(1), "bias": np.zeros(1)}}
    with pytest.raises(ConversionError, match="2 problems") as error:
        to_foreign(tree, RULES)
    assert "head/kernel: no rule for it" in str(error.value)
    assert "head/bias: no rule for it" in str(error.value)


def test_the_first_rule_that_matches_applies():
    ours = [Rule("a", ("first",)), Rule("*", ("second",))]
    tree = {"first": shape(1)}
    converted = to_ours({"a": np.ones(1, np.float32)}, ours, params=tree, stats={})
    np.testing.assert_array_equal(converted.params["first"], [1.0])


def test_every_array_is_accounted_for_in_order():
    source = state()
    entries = convert(source).entries
    assert [entry.name for entry in entries] == list(source)
    by_name = {entry.name: entry for entry in entries}
    fused = by_name["layers.12.qkv.weight"]
    assert fused.paths == tuple(f"layers/12/{part}/kernel" for part in "qkv")
    assert (fused.shape, fused.dtype, fused.transform) == ((6, 4), "float32", "split, transpose")
    assert (by_name["scale"].transform, by_name["scale"].reason) == ("same", "")
    left_out = by_name["pooler.dense.weight"]
    assert (left_out.paths, left_out.reason) == ((), "not used")


def test_half_precision_is_widened_and_any_other_type_is_a_problem():
    source = state()
    source["scale"] = np.asarray(1.5, np.float16)
    assert convert(source).params["scale"].dtype == np.float32
    source["scale"] = np.asarray(1.5, np.float64)
    source["layers.0.qkv.bias"] = np.zeros(6, np.int32)
    with pytest.raises(ConversionError) as error:
        convert(source)
    assert str(error.value).splitlines()[1:] == [
        f"{name}: got {kind}, expected one of ('float32', 'float16', 'bfloat16')"
        for name, kind in (("scale", "float64"), ("layers.0.qkv.bias", "int32"))
    ]


def test_two_names_for_one_leaf_are_a_problem():
    ours = [Rule("new", ("scale",)), Rule("old", ("scale",))]
    source = {"new": np.ones(1, np.float32), "old": np.zeros(1, np.float32)}
    with pytest.raises(ConversionError, match="old: scale is filled already"):
        to_ours(source, ours, params={"scale": shape(1)}, stats={})


def test_of_two_names_for_one_leaf_the_one_that_a_file_had_is_selected():
    ours = [Rule("new.{i}", ("scale/{i}",)), Rule("old.{i}", ("scale/{i}",)), Rule("x", ("x",))]
    assert [rule.foreign for rule in select(ours, ["old.3", "x"])] == ["old.{i}", "x"]


def test_a_template_gives_the_numbers_of_a_name():
    assert matches("layers.{i}.blocks.{j}.*", "layers.3.blocks.11.norm.weight") == (3, 11)
    assert matches("layers.{i}.blocks.{j}.*", "layers.3.block.11.norm.weight") is None
