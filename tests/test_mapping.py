import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from ovs_jax.mapping import from_mapping, lookup, override, suggestion


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    kind: Literal["hard", "soft"] = "hard"
    sizes: tuple[int, ...] = (1, 2)
    rules: tuple[tuple[str, float], ...] = ()
    pair: tuple[str, int] = ("a", 1)
    flag: bool = False

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"inner.rate: expected at least 0, got {self.rate}")


@dataclass(frozen=True)
class Outer:
    name: str
    extra: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)


def test_a_config_survives_json():
    inner = Inner(0.25, "soft", (3,), (("x", 1.0), ("y", 2.5)), ("b", 2), True)
    config = Outer("one", {"a": {"b": [1]}}, inner)
    assert from_mapping(Outer, json.loads(json.dumps(asdict(config)))) == config


def test_integers_become_floats_and_lists_tuples_where_the_field_asks_for_it():
    made = from_mapping(Inner, {"rate": 1, "sizes": [4, 5], "rules": [["x", 1]]})
    assert made == Inner(rate=1.0, sizes=(4, 5), rules=(("x", 1.0),))
    assert type(made.rate) is float
    assert type(made.rules[0][1]) is float


def test_an_override_keeps_what_it_does_not_name_at_any_depth():
    config = Outer("one", {"a": 1}, Inner(0.25, "soft"))
    changed = override(config, {"inner": {"sizes": (7,)}})
    assert changed == Outer("one", {"a": 1}, Inner(0.25, "soft", (7,)))
    assert config.inner.sizes == (1, 2)


def test_a_nested_dict_without_a_base_starts_from_the_defaults():
    made = from_mapping(Outer, {"name": "one", "inner": {"kind": "soft"}})
    assert made.inner == Inner(kind="soft")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nmae": "x"}, r"run\.nmae: no such field, expected one of .*; did you mean 'name'\?"),
        ({"inner": {"rat": 1}}, r"run\.inner\.rat: no such field, .*; did you mean 'rate'\?"),
        ({}, "run: expected a value for name, got none"),
        ({"name": 3}, r"run\.name: got 3, expected str"),
        ({"inner": {"rate": "1"}}, r"run\.inner\.rate: got '1', expected float"),
        ({"inner": {"rate": True}}, r"run\.inner\.rate: got True, expected float"),
        ({"inner": {"flag": 1}}, r"run\.inner\.flag: got 1, expected bool"),
        ({"inner": {"kind": "sofd"}}, r"run\.inner\.kind: got 'sofd', .*\('hard', 'soft'\)"),
        ({"inner": {"sizes": (1, 2.5)}}, r"run\.inner\.sizes\[1\]: got 2\.5, expected int"),
        ({"inner": {"sizes": 3}}, r"run\.inner\.sizes: got 3, expected tuple\[int, \.\.\.\]"),
        ({"inner": {"pair": ["a"]}}, r"run\.inner\.pair: got \['a'\], expected tuple"),
        ({"inner": {"rules": [[1, 2.0]]}}, r"run\.inner\.rules\[0\]\[0\]: got 1, expected str"),
        ({"inner": 3}, r"run\.inner: got 3, expected a group of fields: rate, kind"),
        ({"extra": []}, r"run\.extra: got \[\], expected dict"),
        ({"name": "x", "inner": {"rate": -1}}, r"inner\.rate: expected at least 0, got -1\.0"),
    ],
)
def test_what_does_not_fit_is_named_with_its_path_and_what_was_expected(values, message):
    with pytest.raises(ValueError, match=message):
        from_mapping(Outer, values, where="run")


def test_an_override_is_checked_as_strictly():
    with pytest.raises(ValueError, match=r"config\.inner\.kind: got 'x', expected one of"):
        override(Outer("one"), {"inner": {"kind": "x"}})


def test_a_lookup_lists_what_there_is_and_suggests_the_nearest():
    table = {"groupvit": 1, "ovsegmentor": 2}
    assert lookup(table, "groupvit", what="model.name") == 1
    with pytest.raises(
        ValueError,
        match=r"model\.name: unknown 'ovseg', expected one of \['groupvit', 'ovsegmentor'\]; did",
    ):
        lookup(table, "ovseg", what="model.name")


def test_nothing_is_suggested_where_nothing_is_near():
    assert suggestion("zzzz", ["groupvit"]) == ""
    assert suggestion("grupvit", ["groupvit"]) == "; did you mean 'groupvit'?"


@dataclass(frozen=True)
class Words:
    length: int = 8
    kind: Literal["words"] = "words"


@dataclass(frozen=True)
class Masks:
    most: int = 3
    inner: Inner = field(default_factory=Inner)
    kind: Literal["masks"] = "masks"


@dataclass(frozen=True)
class Either:
    data: Words | Masks = field(default_factory=Words)


def test_a_field_of_several_dataclasses_is_told_by_its_kind():
    assert from_mapping(Either, {}) == Either(Words())
    assert from_mapping(Either, {"data": {"length": 2}}) == Either(Words(2))
    masks = from_mapping(Either, {"data": {"kind": "masks", "inner": {"rate": 1}}})
    assert masks == Either(Masks(inner=Inner(rate=1.0)))
    assert from_mapping(Either, json.loads(json.dumps(asdict(masks)))) == masks


def test_an_override_keeps_the_kind_unless_it_names_another():
    masks = Either(Masks(5))
    assert override(masks, {"data": {"inner": {"rate": 0.1}}}) == Either(Masks(5, Inner(0.1)))
    assert override(masks, {"data": {"kind": "words"}}) == Either(Words())
    assert override(masks, {"data": {"kind": "masks"}}) == masks


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "mask"}, r"config\.data\.kind: unknown 'mask', .* did you mean 'masks'\?"),
        ({"kind": ["masks"]}, r"config\.data\.kind: got \['masks'\], expected str"),
        ({"most": 1}, r"config\.data\.most: no such field, expected one of \['length', 'kind'\]"),
        (3, r"config\.data: got 3, expected a group of fields: length, kind or a group of"),
    ],
)
def test_a_kind_that_does_not_fit_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        from_mapping(Either, {"data": values})
