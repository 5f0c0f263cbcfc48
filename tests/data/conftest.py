import pytest

from ovs_jax.text.prompts import TEMPLATES
from ovs_jax.text.tokenizers import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    file = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    text = " ".join(TEMPLATES).lower()
    words = dict.fromkeys(text.replace(".", " ").replace("-", " ").split())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "-"]
    rest = [word for word in words if word != "{}"] + [
        "dog",
        "cat",
        "bus",
        "sofa",
        "car",
        "and",
        "sea",
    ]
    file.write_text("\n".join(dict.fromkeys([*special, *rest])))
    return load_tokenizer(f"wordpiece:{file}")
