"""The rule lists against the names in the reference numbers that travel with the repository."""

import re
from collections.abc import Sequence

import numpy as np
import pytest

from ovs_jax.conversion.rules import Rule
from ovs_jax.conversion.sources import SOURCES
from ovs_jax.conversion.sources.groupvit import RULES as GROUPVIT
from ovs_jax.conversion.sources.ovsegmentor import RULES as OVSEGMENTOR

# What the small reference models do not have, by the reason.
ABSENT = {
    "gvit": {},
    "ovs_tiny": {
        "one grouping stage needs no way to a next one": r".*\.group_projector\..*",
        "it has no norm after the patch projection": r".*\.patch_embed\.norm\..*",
        "image and text are equally wide, so nothing is aligned": r"align_proj_.*",
        "a constant that only older exports hold": r".*\.position_ids",
        "BERT's norms as its first exports name them": r".*\.LayerNorm\.(gamma|beta)",
    },
}
MODELS = pytest.mark.parametrize(
    ("folder", "rules"), [("gvit", GROUPVIT), ("ovs_tiny", OVSEGMENTOR)], ids=["gvit", "ovs_tiny"]
)


def first_that_matches(name: str, rules: Sequence[Rule]) -> str | None:
    for rule in rules:
        pattern = re.sub(r"\\\{\w\\\}", "[0-9]+", re.escape(rule.foreign)).replace(r"\*", ".*")
        if re.fullmatch(pattern, name):
            return rule.foreign
    return None


@MODELS
def test_every_published_name_has_a_rule(golden, folder, rules):
    names = np.load(golden / folder / "params.npz").files
    assert [name for name in names if first_that_matches(name, rules) is None] == []


@MODELS
def test_every_rule_is_used_by_a_published_name_or_its_absence_is_explained(golden, folder, rules):
    names = np.load(golden / folder / "params.npz").files
    used = {first_that_matches(name, rules) for name in names}
    unused = [rule.foreign for rule in rules if rule.foreign not in used]
    patterns = ABSENT[folder].values()
    assert [name for name in unused if not any(re.fullmatch(p, name) for p in patterns)] == []
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in unused), f"{pattern} explains nothing"


@pytest.mark.parametrize("source", SOURCES)
def test_no_two_rules_fill_the_same_path_and_what_is_ignored_has_a_reason(source):
    rules = [*SOURCES[source].rules, *SOURCES[source].outside]
    # Of two names for the same array a file has one.
    modern = [r for r in rules if not re.search(r"LayerNorm\.(gamma|beta)$", r.foreign)]
    filled = [path for rule in modern for path in rule.ours]
    assert len(filled) == len(set(filled))
    assert len({rule.foreign for rule in rules}) == len(rules)
    assert all(bool(rule.ours) != bool(rule.reason) for rule in rules)
    assert {path for r in rules for path in r.ours} == set(filled)


@pytest.mark.parametrize("source", SOURCES)
def test_the_marker_of_a_source_is_one_of_its_names(source):
    assert first_that_matches(SOURCES[source].marker, SOURCES[source].rules)
