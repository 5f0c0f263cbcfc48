import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from ovs_jax.data import index_files
from ovs_jax.data.entity_index import index_entities
from ovs_jax.data.index_files import Fingerprint, fingerprint, open_index, write_index
from ovs_jax.text.entities import CorrectedRule, EntityVocabulary, OriginalRule

RULE = CorrectedRule()
CAPTIONS = ["a dog and a cat", "the sea", "cats", "a zebra", "two dogs", "dogs, a cat"] * 3
BLOCKS = [CAPTIONS[:7], CAPTIONS[7:]]
ARRAYS = ("kept", "entity_starts", "entities", "place_starts", "places")


def test_an_index_on_disk_is_that_in_memory_and_reaches_workers_as_a_name(tmp_path: Path) -> None:
    written = write_index(BLOCKS, RULE, tmp_path / "index")
    opened = open_index(tmp_path / "index", captions=CAPTIONS, rule=RULE)
    expected = index_entities(CAPTIONS, RULE)
    pickled = pickle.dumps(opened)
    assert len(pickled) < 300
    for index in (written, opened, pickle.loads(pickled)):
        assert index.names == expected.names
        assert index.alone == expected.alone == 0
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(index, name), getattr(expected, name))
            assert isinstance(getattr(index, name).base, np.memmap)
        drawn = [index.partner(0, np.random.default_rng(seed)) for seed in range(20)]
        assert drawn == [expected.partner(0, np.random.default_rng(seed)) for seed in range(20)]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_workers_make_the_same_index(tmp_path: Path) -> None:
    write_index(BLOCKS, RULE, tmp_path / "one")
    write_index(BLOCKS, RULE, tmp_path / "two", workers=2)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_an_index_of_other_captions_rule_or_words_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    write_index(BLOCKS, RULE, folder)
    for other in (CAPTIONS[:-1], [*CAPTIONS[:-1], "a bus"], [*CAPTIONS[1:], CAPTIONS[0]]):
        with pytest.raises(ValueError, match=r"made from 18 other captions than .* index-entities"):
            open_index(folder, captions=other, rule=RULE)
    with pytest.raises(ValueError, match="another rule: got 'corrected', expected 'original'"):
        open_index(folder, captions=CAPTIONS, rule=OriginalRule())
    words = CorrectedRule(EntityVocabulary(("dog", "cat", "zebra")))
    with pytest.raises(ValueError, match="made by another vocabulary"):
        open_index(folder, captions=CAPTIONS, rule=words)


def test_what_is_no_index_or_is_there_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a folder with index\.json"):
        open_index(tmp_path, captions=CAPTIONS, rule=RULE)
    with pytest.raises(FileExistsError, match="exists already"):
        write_index(BLOCKS, RULE, tmp_path)
    with pytest.raises(ValueError, match="none of 2 captions has an entity"):
        write_index([["sea", ""]], RULE, tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    write_index(BLOCKS, RULE, folder)
    whole = (folder / "places.npy").read_bytes()
    for damage, message in ((whole[:-8], "cannot be read"), (None, "cannot be read")):
        (folder / "places.npy").unlink()
        if damage is not None:
            (folder / "places.npy").write_bytes(damage)
        with pytest.raises(ValueError, match=rf"places\.npy: {message}"):
            open_index(folder, captions=CAPTIONS, rule=RULE)
    np.save(folder / "places.npy", np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="do not fit each other"):
        open_index(folder, captions=CAPTIONS, rule=RULE)
    content = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(ValueError, match="expected format 1"):
        open_index(folder, captions=CAPTIONS, rule=RULE)
    (folder / "index.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        open_index(folder, captions=CAPTIONS, rule=RULE)


def test_a_fingerprint_is_the_same_from_blocks_and_looks_at_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_files, "_MOST_HASHED", 4)
    captions = [str(number) for number in range(23)]
    for size in (1, 2, 5, 23):
        marks = Fingerprint()
        for first in range(0, 23, size):
            marks.add(captions[first : first + size])
        assert str(marks) == fingerprint(captions)
    assert fingerprint(captions) != fingerprint(captions[:-1])
    assert fingerprint([*captions[:8], "other", *captions[9:]]) != fingerprint(captions)
