from functools import partial

import numpy as np
import pytest

from ovs_jax.evaluation.text_bank import class_embeddings, synonym_embeddings, unit_mean
from ovs_jax.text.tokenizers import load_tokenizer

CLASSES = ("dog", "boat", "tree", "house", "grass", "water", "sand")


def test_a_class_embedding_is_the_unit_mean_of_its_prompts(segmenter):
    encode = partial(segmenter._run.text, segmenter._params, segmenter._stats)
    templates = ("a photo of a {}.", "the {}")
    names = [f"{a} {b}" for a in CLASSES for b in CLASSES]  # more texts than one batch
    options = {"tokenizer": segmenter.tokenizer, "length": segmenter.text_length}
    found = class_embeddings(encode, names, templates=templates, **options)
    assert found.shape[0] == len(names)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0, rtol=1e-5)
    ids, mask = segmenter.tokenizer(
        [t.replace("{}", names[30]) for t in templates], length=segmenter.text_length
    )
    embedded = np.asarray(encode(ids, mask))
    np.testing.assert_allclose(found[30], unit_mean(embedded[None])[0], atol=1e-5)


def test_the_published_class_embeddings_are_the_unit_means_of_their_prompts():
    prompts = np.asarray([[[3.0, 0.0], [0.0, 4.0]]])
    np.testing.assert_allclose(unit_mean(prompts), [[0.6, 0.8]])


def test_synonyms_count_as_prompts_and_every_text_as_much_as_the_others():
    tokenizer = load_tokenizer("synthetic")
    seen = []

    def encode(ids, mask):
        """An embedding that tells texts apart, of a length that must not matter."""
        seen.append(ids.shape)
        at = np.linspace(0.1, 2.0, ids.shape[1])
        angle = (ids * mask * at).sum(1) % 7
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + angle[:, None])

    options = {"tokenizer": tokenizer, "length": 16}
    templates = ("a photo of a {}.", "the {}")
    found = synonym_embeddings(encode, ["dog, cow", "boat"], templates=templates, **options)
    ids, mask = tokenizer(
        ["a photo of a dog.", "the dog", "a photo of a cow.", "the cow"], length=16
    )
    units = encode(ids, mask)
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    np.testing.assert_allclose(found[0], units.mean(0) / np.linalg.norm(units.mean(0)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="class prompt 'the dog': expected at most 3 tokens"):
        synonym_embeddings(encode, ["dog"], templates=("the {}",), tokenizer=tokenizer, length=3)
