import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovs_jax.text.tokenizers import Tokenizer, load_tokenizer
from ovs_jax.text.vocabularies import byte_letters

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "cat", "cafe", "mask"),
    *".,()'s&[]",
]
MERGES = ['"bpe_simple_vocab_16e6.txt#version: 0.2', "d o", "do g</w>", "c a", "ca t</w>"]


def _write_roberta(folder: Path) -> None:
    letters = byte_letters()
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, "do", "dog", "Ġdog", "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nd o\ndo g\nĠ dog\n")


@pytest.fixture(scope="session")
def all_three(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("vocabularies")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress("\n".join(MERGES).encode()))
    (folder / "roberta").mkdir()
    _write_roberta(folder / "roberta")
    return {
        "wordpiece": load_tokenizer(f"wordpiece:{folder / 'vocab.txt'}"),
        "clip": load_tokenizer(f"clip:{folder}"),
        "roberta": load_tokenizer(f"roberta:{folder / 'roberta'}"),
    }


def test_wordpiece_lowers_splits_and_frames(all_three: dict[str, Tokenizer]) -> None:
    ids, mask = all_three["wordpiece"](["A Dogs, Café!", ""], length=9)
    names = ["[CLS]", "a", "dog", "##s", ",", "cafe", "[UNK]", "[SEP]", "[PAD]"]
    assert [WORDS[i] for i in ids[0]] == names
    assert mask[0].tolist() == [True] * 8 + [False]
    assert ids[1].tolist() == [2, 3] + [0] * 7
    assert ids.dtype == np.int32
    assert all_three["wordpiece"].vocab_size == len(WORDS)


def test_a_mask_is_one_token_wherever_it_stands(all_three: dict[str, Tokenizer]) -> None:
    for kind, texts in {
        "wordpiece": [
            "[MASK]",
            "a [MASK], a",
            "([MASK])",
            "[MASK]'s",
            "a[MASK]dog",
            "[MASK][MASK]",
        ],
        "roberta": ["<mask>", "a <mask>, a", "(<mask>)", "<mask>'s", "a<mask>dog", "<mask><mask>"],
    }.items():
        tokenizer = all_three[kind]
        assert tokenizer.mask_token is not None
        ids, _ = tokenizer(texts, length=24)
        counts = (ids == tokenizer.mask_id).sum(axis=1)
        assert counts.tolist() == [text.count(tokenizer.mask_token) for text in texts]
    assert all_three["clip"].mask_token is None
    assert all_three["clip"].mask_id is None


def test_only_the_mask_among_special_tokens_can_be_written_in_a_text(
    all_three: dict[str, Tokenizer],
) -> None:
    ids, _ = all_three["wordpiece"](["[SEP] [CLS] [PAD]"], length=30)
    assert (ids == 3).sum() == 1
    assert (ids == 2).sum() == 1
    ids, _ = all_three["clip"](["a <|endoftext|> a"], length=30)
    assert (ids == all_three["clip"].end_id).sum() == 1


def test_clip_cleans_merges_and_pads_with_zero(all_three: dict[str, Tokenizer]) -> None:
    tokenizer = all_three["clip"]
    assert (tokenizer.start_id, tokenizer.end_id) == (516, 517)
    assert tokenizer.vocab_size == 518
    dog, cat = 512 + 1, 512 + 3
    ids, mask = tokenizer(["  DOG\n\tcat &amp;amp; dog7"], length=10)
    letters = byte_letters()
    expected = [
        516,
        dog,
        cat,
        256 + letters.index("&"),
        dog,
        256 + letters.index("7"),
        517,
        0,
        0,
        0,
    ]
    assert ids[0].tolist() == expected
    assert mask[0].sum() == 7
    # The pooled feature of the CLIP text tower is at the largest id.
    assert ids[0].argmax() == 6


def test_clip_reads_the_same_vocabulary_from_json_and_merges(
    all_three: dict[str, Tokenizer], tmp_path: Path
) -> None:
    backend = json.loads(all_three["clip"].backend)
    (tmp_path / "vocab.json").write_text(json.dumps(backend["model"]["vocab"]))
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES[1:]]) + "\n")
    again = load_tokenizer(f"clip:{tmp_path}")
    texts = ["a dog's cat", "ünï 🐕"]
    for mine, theirs in zip(
        again(texts, length=20), all_three["clip"](texts, length=20), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_roberta_keeps_case_and_marks_the_blank_before_a_word(
    all_three: dict[str, Tokenizer],
) -> None:
    ids, mask = all_three["roberta"](["dog dog D"], length=8)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *byte_letters(), "do", "dog", "Ġdog", "<mask>"]
    assert [tokens[i] for i in ids[0]] == ["<s>", "dog", "Ġdog", "Ġ", "D", "</s>", "<pad>", "<pad>"]
    assert mask[0].sum() == 6


@pytest.mark.parametrize("kind", ["wordpiece", "clip", "roberta"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(st.text(st.characters(codec=None), max_size=40), max_size=4),
    length=st.integers(2, 30),
)
def test_any_text_becomes_a_framed_row(
    all_three: dict[str, Tokenizer], kind: str, texts: list[str], length: int
) -> None:
    tokenizer = all_three[kind]
    ids, mask = tokenizer(texts, length=length)
    assert ids.shape == mask.shape == (len(texts), length)
    assert ((ids >= 0) & (ids < tokenizer.vocab_size)).all()
    for row, kept in zip(ids, mask, strict=True):
        count = kept.sum()
        assert count >= 2
        assert kept[:count].all()
        assert row[0] == tokenizer.start_id
        assert row[count - 1] == tokenizer.end_id
        assert (row[count:] == tokenizer.padding_id).all()


@pytest.mark.parametrize("kind", ["wordpiece", "clip", "roberta"])
def test_truncation_keeps_the_beginning_and_the_end_token(
    all_three: dict[str, Tokenizer], kind: str
) -> None:
    text = "a dog a cat " * 20
    whole, _ = all_three[kind]([text], length=200)
    short, mask = all_three[kind]([text], length=7)
    assert mask.all()
    assert short[0, :6].tolist() == whole[0, :6].tolist()
    assert short[0, 6] == all_three[kind].end_id


@pytest.mark.parametrize("kind", ["wordpiece", "clip", "roberta"])
def test_a_tokenizer_survives_json_and_pickle_without_its_files(
    all_three: dict[str, Tokenizer], kind: str
) -> None:
    tokenizer = all_three[kind]
    texts = ["A dog's [MASK] <mask>, &lt;cat&gt; ünï", ""]
    expected = tokenizer(texts, length=16)
    through_json = Tokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert through_json == tokenizer
    for again in (through_json, pickle.loads(pickle.dumps(tokenizer))):
        for mine, theirs in zip(again(texts, length=16), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_vocabulary_with_capitals_keeps_case(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDS, "Dog"]))
    ids, _ = load_tokenizer(f"wordpiece:{tmp_path}")(["Dog dog"], length=4)
    assert ids[0, 1:3].tolist() == [len(WORDS), WORDS.index("dog")]


def test_bad_specs_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="tokenizer 'bert' is not understood; expected 'synthetic'"
    ):
        load_tokenizer("bert")
    with pytest.raises(FileNotFoundError, match=r"vocab.txt does not exist"):
        load_tokenizer(f"wordpiece:{tmp_path / 'vocab.txt'}")
    with pytest.raises(FileNotFoundError, match=r"vocab.json does not exist"):
        load_tokenizer(f"clip:{tmp_path}")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\ndog\ndog\n")
    with pytest.raises(ValueError, match=r"vocab.txt: expected every entry once, got \['dog'\]"):
        load_tokenizer(f"wordpiece:{tmp_path}")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\ndog\n")
    with pytest.raises(
        ValueError, match=r"vocab.txt: .* misses \['\[CLS\]', '\[SEP\]', '\[MASK\]'\]"
    ):
        load_tokenizer(f"wordpiece:{tmp_path}")
    (tmp_path / "vocab.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"vocab.json: expected an object of token to id"):
        load_tokenizer(f"roberta:{tmp_path}")
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(ValueError, match=r"vocab.json is not JSON"):
        load_tokenizer(f"roberta:{tmp_path}")
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="is not readable text"):
        load_tokenizer(f"clip:{tmp_path}")


def test_bad_calls_are_explained(all_three: dict[str, Tokenizer]) -> None:
    with pytest.raises(ValueError, match="length: expected at least 2"):
        all_three["clip"](["a"], length=1)
    with pytest.raises(ValueError, match="got the string 'dog'"):
        all_three["clip"]("dog", length=8)
    with pytest.raises(ValueError, match="expected the fields"):
        Tokenizer.from_dict({"kind": "clip"})
