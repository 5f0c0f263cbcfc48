from functools import partial

import numpy as np

from ovs_jax.evaluation.text_bank import class_embeddings, unit_mean

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
