"""Texts to token ids: BERT WordPiece, CLIP BPE and RoBERTa byte-level BPE, from vocabulary files of
the user.

Every tokenizer unescapes HTML, frames a text with its start and end token, cuts long texts so that
the end token is kept, and pads short ones. A tokenizer turns into a plain dict and back, so a
checkpoint can carry its own.

Padding ids are those the pretrained text towers expect: 0 for CLIP and BERT, 1 for RoBERTa.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Bool, Int32

from ovs_jax.text import vocabularies
from ovs_jax.text.assets import asset_text

KINDS = ("wordpiece", "clip", "roberta")
_FIELDS = ("kind", "backend", "start_id", "end_id", "padding_id", "mask_token")


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer that travels: picklable for input workers, a plain dict for checkpoints.

    Attributes:
      kind: ``wordpiece``, ``clip`` or ``roberta``.
      backend: the JSON text of a `tokenizers.Tokenizer` without framing, truncation or padding.
      start_id: before every text.
      end_id: after every text.
      padding_id: in the places that are left.
      mask_token: how a hidden word is written in a text, ``[MASK]`` for WordPiece and ``<mask>``
        for RoBERTa. It always becomes one token, also between punctuation. None for CLIP, whose
        vocabulary has no such token.
    """

    kind: str
    backend: str = field(repr=False)
    start_id: int
    end_id: int
    padding_id: int
    mask_token: str | None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"tokenizer kind '{self.kind}' is unknown; expected one of {KINDS}")

    @cached_property
    def _engine(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.backend)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}

    @property
    def vocab_size(self) -> int:
        """One more than the largest id: the number of rows of an embedding table."""
        return self._engine.get_vocab_size(with_added_tokens=True)

    @property
    def mask_id(self) -> int | None:
        """The id of the mask token, if there is one."""
        return None if self.mask_token is None else self._engine.token_to_id(self.mask_token)

    def __call__(
        self, texts: Sequence[str], *, length: int
    ) -> tuple[Int32[np.ndarray, "b l"], Bool[np.ndarray, "b l"]]:
        """Token ids and which of them belong to the text.

        Args:
          texts: any Unicode; the empty text becomes start and end alone.
          length: tokens a text, start and end included.

        Returns:
          The ids, and True where a token is kept: from the start token to the end token, both
          included.

        Raises:
          ValueError: a text is not a string, or ``length`` leaves no room for start and end.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts: expected a sequence of strings, got the string '{texts}'")
        if length < 2:
            raise ValueError(f"length: expected at least 2 (start and end token), got {length}")
        strange = next((text for text in texts if not isinstance(text, str)), None)
        if strange is not None:
            raise ValueError(f"texts: expected strings, got {type(strange).__name__}: {strange!r}")
        ids = np.full((len(texts), length), self.padding_id, np.int32)
        mask = np.zeros((len(texts), length), bool)
        cleaned = [self._clean(text) for text in texts]
        encoded = self._engine.encode_batch_fast(cleaned, add_special_tokens=False)
        for row, tokens in enumerate(encoded):
            inner = tokens.ids[: length - 2]
            end = len(inner) + 1
            ids[row, 0] = self.start_id
            ids[row, 1:end] = inner
            ids[row, end] = self.end_id
            mask[row, : end + 1] = True
        return ids, mask

    def _clean(self, text: str) -> str:
        # Captions from the web are often escaped twice. Lone surrogates cannot be encoded: they
        # become "?".
        text = html.unescape(html.unescape(text)).encode("utf-8", "replace").decode("utf-8")
        return " ".join(text.split()).lower() if self.kind == "clip" else text

    def to_dict(self) -> dict[str, Any]:
        """Everything there is to know, as strings and numbers; the inverse of `from_dict`."""
        return self.__getstate__()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Tokenizer":
        """Rebuilds a tokenizer from `to_dict`, without any file.

        Raises:
          ValueError: fields are missing or unknown.
        """
        if set(values) != set(_FIELDS):
            raise ValueError(f"tokenizer: expected the fields {_FIELDS}, got {tuple(values)}")
        return cls(**values)


def load_tokenizer(spec: str) -> Tokenizer:
    """Builds a tokenizer from what a configuration names.

    Args:
      spec: ``synthetic`` (the WordPiece of the synthetic world, shipped); ``wordpiece:FILE`` with
        BERT's ``vocab.txt`` or a folder that has it (lower-cased unless the vocabulary has
        capitals); ``clip:PATH`` with ``bpe_simple_vocab_16e6.txt.gz``, or a folder with that or
        with ``vocab.json`` and ``merges.txt``; ``roberta:FOLDER`` with ``vocab.json`` and
        ``merges.txt``.

    Returns:
      The tokenizer.

    Raises:
      ValueError: the spec or the content of a file is not understood.
      FileNotFoundError: a file is missing.
    """
    kind, _, path = spec.partition(":")
    if spec == "synthetic":
        return _wordpiece(asset_text("synthetic_vocab.txt").split("\n"), "synthetic_vocab.txt")
    if kind not in KINDS or not path:
        raise ValueError(
            f"tokenizer '{spec}' is not understood; expected 'synthetic', 'wordpiece:FILE', "
            "'clip:FILE_OR_FOLDER' or 'roberta:FOLDER'"
        )
    if kind == "wordpiece":
        file = vocabularies.existing(path, "vocab.txt")
        return _wordpiece(vocabularies.read_text(file).split("\n"), str(file))
    if kind == "clip":
        return _clip(vocabularies.read_clip(Path(path)))
    return _roberta(vocabularies.read_json_merges(Path(path)))


def _wordpiece(lines: Sequence[str], file: str) -> Tokenizer:
    vocabulary = vocabularies.numbered(lines, file)
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    padding, _, start, end, _ = vocabularies.ids_of(names, vocabulary, file)
    cased = any(word != word.lower() for word in vocabulary if not word.startswith("["))
    engine = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    engine.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=not cased)
    engine.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    # Of the special tokens only this one may be written in a text.
    engine.add_special_tokens([tokenizers.AddedToken("[MASK]", normalized=False)])
    return Tokenizer("wordpiece", engine.to_str(), start, end, padding, "[MASK]")


# Contractions, runs of letters, single digits, runs of anything else: the pattern of CLIP.
_CLIP_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _clip(merges: vocabularies.Merges) -> Tokenizer:
    names = ("<|startoftext|>", "<|endoftext|>")
    start, end = vocabularies.ids_of(names, merges.vocabulary, merges.file)
    engine = tokenizers.Tokenizer(
        tokenizers.models.BPE(merges.vocabulary, merges.pairs, end_of_word_suffix="</w>")
    )
    engine.normalizer = tokenizers.normalizers.NFC()
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(_CLIP_PATTERN), "removed", invert=True)
    bytes_only = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    engine.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, bytes_only])
    return Tokenizer("clip", engine.to_str(), start, end, 0, None)


def _roberta(merges: vocabularies.Merges) -> Tokenizer:
    names = ("<s>", "<pad>", "</s>", "<mask>")
    start, padding, end, _ = vocabularies.ids_of(names, merges.vocabulary, merges.file)
    engine = tokenizers.Tokenizer(tokenizers.models.BPE(merges.vocabulary, merges.pairs))
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    # The mask takes the blank before it, as in pretraining.
    engine.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, normalized=False)])
    return Tokenizer("roberta", engine.to_str(), start, end, padding, "<mask>")
