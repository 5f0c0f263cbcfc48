from collections import Counter
from pathlib import Path

import pytest

from ovs_jax.data.caption_rows import RowFile
from ovs_jax.data.filtering import EntityFilter, filter_captions, filter_rows
from ovs_jax.text.entities import CorrectedRule, OriginalRule

CAPTIONS = ["a dog and a dog", "dogs", "", "the sea", "a man, a dog", "Dog"]


def test_the_published_filter_keeps_exact_words_and_counts_captions() -> None:
    found = filter_captions(CAPTIONS, OriginalRule())
    assert found.kept == (0, 4)
    assert found.report.entities == Counter(dog=2, man=1)
    assert found.report.dropped == Counter({"no entity": 3, "no caption": 1})
    assert (found.report.read, found.report.kept) == (6, 2)


def test_the_filter_of_records_agrees_with_that_of_captions() -> None:
    for rule in (OriginalRule(), CorrectedRule()):
        choose = EntityFilter(rule)
        kept = [n for n, text in enumerate(CAPTIONS) if choose({"caption": text}) is None]
        assert tuple(kept) == filter_captions(CAPTIONS, rule).kept
        assert choose({"caption": "the sea"}) == "no entity"
    assert EntityFilter().name == "entities (original rule, 100 words)"


def test_rows_are_filtered_as_they_stand(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(CAPTIONS * 3400))  # two blocks
    report = filter_rows(RowFile(source), tmp_path / "b.txt", CorrectedRule())
    assert (report.read, report.kept) == (20_400, 13_600)
    assert report.entities == Counter(dog=13_600, people=3400)
    kept = (tmp_path / "b.txt").read_text().splitlines()
    assert kept == ["a dog and a dog", "dogs", "a man, a dog", "Dog"] * 3400


def test_a_target_that_cannot_be_is_refused_and_a_failure_leaves_what_was_there(
    tmp_path: Path,
) -> None:
    source = tmp_path / "a.csv"
    source.write_text("caption\na dog\n")
    with pytest.raises(ValueError, match=r"expected a file of the kind of a\.csv"):
        filter_rows(RowFile(source), tmp_path / "b.txt", OriginalRule())
    with pytest.raises(ValueError, match="expected another file than"):
        filter_rows(RowFile(source), source, OriginalRule())
    target = tmp_path / "b.csv"
    target.write_text("before")
    with pytest.raises(ValueError, match="expected a column 'text'"):
        filter_rows(RowFile(source, "text"), target, OriginalRule())
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
