"""Trains the WordPiece vocabulary of the synthetic world and writes the shipped file.

  python scripts/make_vocabulary.py

The text is 20,000 captions of a world with every class of the catalogue, and every prompt template
filled with every class name. All their words become tokens; single letters and digits are added, so
that any other word can be spelled.
"""

import argparse
import string
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from ovs_jax.data.synthetic import SyntheticWorld, WorldConfig
from ovs_jax.data.synthetic.catalogue import OBJECTS, STUFF
from ovs_jax.text.entities import cross_prompt
from ovs_jax.text.prompts import TEMPLATES, class_prompts

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SHIPPED = (
    Path(__file__).resolve().parent.parent / "ovs_jax" / "text" / "assets" / "synthetic_vocab.txt"
)
CAPTIONS = 20_000
LARGEST = 1000


def texts(world: SyntheticWorld) -> list[str]:
    """Everything that a text encoder of this world reads."""
    names = world.config.class_names
    prompts = [prompt for name in names for prompt in class_prompts(name, TEMPLATES)]
    crossed = [cross_prompt(name) for name in names]
    return [*world.captions(), *prompts, *crossed]


def vocabulary(lines: list[str]) -> list[str]:
    """The tokens in the order of their ids, the special ones first."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=LARGEST, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    # Kept are whole words: the steps that only led to one differ between runs, because the trainer
    # breaks ties at random, and no text of this world is ever split into them.
    words = {word for line in lines for word in split(tokenizer, line)}
    letters = string.ascii_lowercase + string.digits
    spelled = [*letters, *(f"##{letter}" for letter in letters), *string.punctuation]
    whole = sorted((words & tokenizer.get_vocab().keys()) - set(spelled))
    return [*SPECIAL, *spelled, *whole]


def split(tokenizer: Tokenizer, line: str) -> list[str]:
    """The words and marks of a text."""
    assert tokenizer.normalizer is not None
    assert tokenizer.pre_tokenizer is not None
    normal = tokenizer.normalizer.normalize_str(line)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the vocabulary of the synthetic world.")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="file to write")
    options = parser.parse_args()
    config = WorldConfig(object_classes=tuple(OBJECTS), stuff_classes=tuple(STUFF), palettes=4)
    tokens = vocabulary(texts(SyntheticWorld(config, length=CAPTIONS)))
    options.output.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    print(f"wrote {len(tokens)} tokens to {options.output}")


if __name__ == "__main__":
    main()
