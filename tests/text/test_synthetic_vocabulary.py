import string

import numpy as np
import pytest

from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig
from ovs_jax.data.synthetic.catalogue import OBJECTS, STUFF
from ovs_jax.text.assets import asset_text
from ovs_jax.text.entities import cross_prompt
from ovs_jax.text.prompts import TEMPLATES, class_prompts
from ovs_jax.text.tokenizers import load_tokenizer

TOKENS = asset_text("synthetic_vocab.txt").split()


def spelled(texts):
    """Which of the texts hold an unknown word, or one that is put together from letters."""
    tokenizer = load_tokenizer("synthetic")
    ids, _ = tokenizer(texts, length=64)
    words = np.array(TOKENS)[ids]
    bad = (words == "[UNK]") | np.char.startswith(words, "##")
    return [text for text, row in zip(texts, bad.any(1), strict=True) if row]


def test_special_tokens_come_first_and_no_token_stands_twice():
    assert TOKENS[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(TOKENS)) == len(TOKENS) < 1000
    assert all(token == token.lower() for token in TOKENS[5:])


@pytest.mark.parametrize("attribute_rate", [0.4, 1.0])
def test_every_word_of_every_caption_is_one_token(attribute_rate):
    config = WorldConfig(
        object_classes=tuple(OBJECTS),
        stuff_classes=tuple(STUFF),
        attribute_rate=attribute_rate,
        synonym_rate=0.5,
        palettes=4,
        max_objects=4,
    )
    world = SyntheticWorld(config, split="validation", seed=3, length=1000)
    assert spelled(list(world.captions())) == []


def test_class_names_and_prompts_are_whole_words():
    names = [*OBJECTS, *STUFF]
    assert set(names) <= set(TOKENS)
    prompts = [prompt for name in names for prompt in class_prompts(name, TEMPLATES)]
    assert spelled(prompts) == []
    assert spelled([cross_prompt(name) for name in names]) == []


def test_any_other_word_can_be_spelled_out():
    tokenizer = load_tokenizer("synthetic")
    ids, mask = tokenizer(["Aeroplane x-ray 42!"], length=40)
    assert TOKENS.index("[UNK]") not in ids[mask]
    assert {f"##{letter}" for letter in string.ascii_lowercase} <= set(TOKENS)
