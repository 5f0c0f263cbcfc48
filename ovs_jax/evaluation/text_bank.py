"""Class names to class embeddings: one vector of length one for each class."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ovs_jax.text.prompts import class_prompts, synonyms
from ovs_jax.text.tokenizers import Tokenizer

EncodeText = Callable[[Int[np.ndarray, "m l"], Bool[np.ndarray, "m l"]], Float[Array, "m e"]]
"""Token ids and their mask to projected embeddings, not normalised."""
BATCH = 64
"""Texts that are encoded at a time; every batch is filled up, so that one program serves all."""
LENGTHS = 16
"""Texts are padded to a multiple of this many tokens rather than to the model's most."""


def class_embeddings(
    encode: EncodeText,
    names: Sequence[str],
    *,
    templates: Sequence[str],
    tokenizer: Tokenizer,
    length: int,
) -> Float[np.ndarray, "c e"]:
    """Embeds class names.

    Args:
      encode: the text encoder with its projector.
      names: class names, as they are put into the prompts.
      templates: prompts, each with one ``{}`` for the name.
      tokenizer: the model's own.
      length: the most tokens of a text that the model takes.

    Returns:
      For each class the mean over its prompts of the unnormalised embeddings, scaled to length one
      (golden README, ``classes.embedding``).
    """
    texts = [text for name in names for text in class_prompts(name, templates)]
    embedded = text_embeddings(encode, texts, tokenizer=tokenizer, length=length)
    return unit_mean(embedded.reshape(len(names), len(templates), -1))


def synonym_embeddings(
    encode: EncodeText,
    names: Sequence[str],
    *,
    templates: Sequence[str],
    tokenizer: Tokenizer,
    length: int,
) -> Float[np.ndarray, "c e"]:
    """Embeds class names as ZegFormer does: every synonym in every template, all of length one.

    Args:
      encode: CLIP's text encoder.
      names: class names; what stands between commas are synonyms, see `prompts.synonyms`.
      templates: prompts, each with one ``{}`` for the name.
      tokenizer: CLIP's.
      length: the most tokens of a text that the encoder takes.

    Returns:
      For each class the mean over its texts of their embeddings of length one, scaled to length
      one again.

    Raises:
      ValueError: a text has more tokens than ``length``, or a name has an empty synonym.
    """
    texts = [
        [text for name in synonyms(given) for text in class_prompts(name, templates)]
        for given in names
    ]
    flat = [text for several in texts for text in several]
    _, mask = tokenizer(flat, length=length + 1)
    used = mask.sum(axis=1)
    if used.max() > length:
        raise ValueError(
            f"class prompt '{flat[int(used.argmax())]}': expected at most {length} tokens, "
            "got more; use a shorter class name or template"
        )
    embedded = unit(text_embeddings(encode, flat, tokenizer=tokenizer, length=length))
    ends = np.cumsum([len(several) for several in texts])[:-1]
    return np.stack([unit(part.mean(axis=0)) for part in np.split(embedded, ends)])


def text_embeddings(
    encode: EncodeText, texts: Sequence[str], *, tokenizer: Tokenizer, length: int
) -> Float[np.ndarray, "m e"]:
    """Embeds texts, not normalised; arguments as `class_embeddings`."""
    ids, mask = tokenizer(texts, length=length)
    used = int(mask.sum(axis=1).max())
    length = min(-(-used // LENGTHS) * LENGTHS, length)
    embedded = []
    for start in range(0, len(texts), BATCH):
        part_ids, part_mask = (x[start : start + BATCH, :length] for x in (ids, mask))
        missing = BATCH - len(part_ids)
        # The last text is repeated: an empty one would have no token to pool.
        fill = ((0, missing), (0, 0))
        out = encode(np.pad(part_ids, fill, mode="edge"), np.pad(part_mask, fill, mode="edge"))
        embedded.append(np.asarray(out, np.float32)[: len(part_ids)])
    return np.concatenate(embedded)


def unit_mean(embedded: Float[np.ndarray, "c k e"]) -> Float[np.ndarray, "c e"]:
    """The mean over prompts, scaled to length one."""
    return unit(embedded.mean(axis=1))


def unit(embedded: Float[np.ndarray, "*s e"]) -> Float[np.ndarray, "*s e"]:
    """Scaled to length one."""
    return embedded / np.maximum(np.linalg.norm(embedded, axis=-1, keepdims=True), 1e-12)
