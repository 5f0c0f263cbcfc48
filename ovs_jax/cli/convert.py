"""Converts published weights into a folder that every command reads, and back.

SOURCE is one of groupvit, groupvit-hf, ovsegmentor, zegformer, dino, bert, roberta, clip, timm-vit,
resnet, or ours. FILE is a .safetensors file, a .pth or .pt file of torch's with nothing but arrays
in it, a .pkl file of numpy arrays (detectron2's ResNets), or a Hugging Face folder; for ours, a
run's folder or a converted one. OUT gets the checkpoint, a MODEL_CARD.md with the fate of every
array, and what is needed to export the weights bit for bit.

Examples:
  ovs-jax convert groupvit-hf groupvit-gcc-yfcc/ weights/groupvit
        with the folder's own tokenizer; then: ovs-jax segment ... --checkpoint weights/groupvit
  ovs-jax convert ovsegmentor ovsegmentor.pth weights/ovsegmentor --tokenizer wordpiece:vocab.txt
  ovs-jax convert dino dino_vitbase16_pretrain.pth data/dino_vitbase16
        an encoder alone, for --config.init.image=dino:data/dino_vitbase16
  ovs-jax convert clip clip_vit_b16.safetensors data/clip --tokenizer clip:bpe.txt.gz
  ovs-jax convert zegformer zegformer_R101_coco.pth weights/zegformer --clip data/clip
        its classes are described by the converted CLIP
  ovs-jax convert resnet resnet101.safetensors data/resnet101
        torchvision's, or detectron2's R-101.pkl of the same weights, to train zegformer from
  ovs-jax convert ours weights/ovsegmentor ovsegmentor.safetensors --to safetensors
        back under the names it came with, or those of the published code
  ovs-jax convert ours runs/mine mine_hf/ --to groupvit-hf
  ovs-jax convert groupvit groupvit.safetensors weights/groupvit --verify
        compare with transformers, where that is installed
"""

import argparse
import ast
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ovs_jax.cli.convert_zegformer import add_zegformer_options, labelled_data
from ovs_jax.conversion import verify
from ovs_jax.conversion.card import CARD, model_card, summary
from ovs_jax.conversion.convert import Conversion, convert
from ovs_jax.conversion.export import to_original, write_groupvit_hf
from ovs_jax.conversion.files import write_safetensors
from ovs_jax.conversion.record import (
    Record,
    read_record,
    read_unused,
    restore,
    write_record,
)
from ovs_jax.conversion.rules import ConversionError
from ovs_jax.conversion.sources import SOURCES
from ovs_jax.evaluation.files import check_output_folder
from ovs_jax.models import registry
from ovs_jax.models.text import TextConfig
from ovs_jax.models.vision.config import ClipConfig
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import Tokenizer, load_tokenizer
from ovs_jax.training import checkpoint
from ovs_jax.training.labelled_config import LabelledDataConfig
from ovs_jax.training.resume import package_versions

OURS = "ours"
FORMS = (OURS, "safetensors", "groupvit-hf")
TEXT_LENGTH = 77
"""Tokens of a text, in the published GroupViT, OVSegmentor and CLIP."""
_KINDS = {"clip": "clip", "bert": "wordpiece", "roberta": "roberta"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax convert``."""
    parser.add_argument("source", help=f"one of {', '.join([*SOURCES, OURS])}")
    parser.add_argument("file", type=Path, help="the weights: a file or a folder")
    parser.add_argument("out", type=Path, help="a new folder (or, of safetensors, file)")
    parser.add_argument("--to", choices=FORMS, default=OURS, help="default: %(default)s")
    parser.add_argument(
        "--tokenizer",
        metavar="KIND:PATH",
        help="wordpiece:vocab.txt, clip:PATH or roberta:FOLDER; a Hugging Face folder has its own",
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="a field of the model that shapes do not tell, such as encoder.heads=(4,4)",
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare with the library that the weights are for"
    )
    add_zegformer_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Converts.

    Nothing appears at OUT until all of it is written.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status: 0, or 1 if ``--verify`` found a difference.

    Raises:
      ValueError: the weights do not fit (everything that does not is listed), or cannot be read
        without running code.
      FileNotFoundError: there is no such file.
      ImportError: reading or verifying takes a library that is not installed.
    """
    out: Path = arguments.out
    check_output_folder(out.absolute().parent, field="OUT")
    if out.exists():
        raise ValueError(f"OUT: {out} exists already; expected a new name")
    if arguments.to == "safetensors" and out.suffix != ".safetensors":
        raise ValueError(f"OUT: expected a name ending in .safetensors, got {out}")
    if arguments.source == OURS:
        return _export_ours(arguments)
    if arguments.verify:
        verify.check_installed(arguments.source)
    started = time.monotonic()
    conversion = _convert(arguments)
    data = labelled_data(conversion, arguments)
    tokenizer = find_tokenizer(conversion, arguments.file, spec=arguments.tokenizer)
    with appearing(out) as made:
        if arguments.to == OURS:
            write_ours(made, conversion, tokenizer, path=str(arguments.file), data=data)
        else:
            record = Record.of(conversion)
            weights = {"params": conversion.params, "stats": conversion.stats}
            unused = conversion.unused
            end_id = tokenizer.end_id if tokenizer else None
            _write(made, arguments.to, conversion.config, weights, record, unused, end_id=end_id)
    counts = ", ".join(f"{count} {fate}" for fate, count in summary(conversion).items())
    print(
        f"{out}: {registry.model_name(conversion.config)}, "
        f"{functional.count(conversion.params):,} parameters; arrays: {counts}; "
        f"{time.monotonic() - started:.1f} s"
    )
    if arguments.to == OURS:
        print(f"tokenizer: {describe_tokenizer(conversion, tokenizer)}")
    if not arguments.verify:
        return 0
    rows = verify.verify(conversion, arguments.file)
    print(verify.table(rows))
    return 0 if all(row.passed for row in rows) else 1


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A path to write a file or folder to, which is renamed to ``out`` when all is done."""
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=f".{out.name}."))
    try:
        yield folder / out.name
        (folder / out.name).rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _convert(arguments: argparse.Namespace) -> Conversion:
    """Converts; a list of problems is printed one a line, as there may be hundreds."""
    try:
        return convert(arguments.source, arguments.file, overrides=overrides(arguments.set))
    except ConversionError as error:
        head, *problems = str(error).splitlines()
        print("\n".join(problems), file=sys.stderr)
        raise ValueError(f"{head} all of them above") from error


def overrides(words: list[str]) -> dict[str, Any]:
    """A nested dict from ``a.b=value``, with Python literals or plain words as values.

    Raises:
      ValueError: there is no ``=``.
    """
    flat: dict[str, Any] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator:
            raise ValueError(f"--set: got '{word}', expected FIELD=VALUE")
        try:
            flat[name.replace(".", "/")] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            flat[name.replace(".", "/")] = text
    return functional.nest(flat)


def find_tokenizer(conversion: Conversion, path: Path, *, spec: str | None) -> Tokenizer | None:
    """The tokenizer that belongs to converted weights.

    Args:
      conversion: the weights.
      path: where they were; a Hugging Face folder may hold vocabulary files.
      spec: what the user gave, as `load_tokenizer` takes it.

    Returns:
      The tokenizer; None where none was given and none is there, or the model reads no text.

    Raises:
      ValueError: it is of another kind than the model's, or has more words.
      FileNotFoundError: the file that was given is missing.
    """
    text = text_config(conversion.config)
    if text is None:
        if spec:
            raise ValueError(f"--tokenizer: {conversion.source.name} reads no text, got '{spec}'")
        return None
    kind = _KINDS[text.kind]
    if spec is None and not path.is_dir():
        return None
    try:
        tokenizer = load_tokenizer(spec or f"{kind}:{path}")
    except FileNotFoundError:
        if spec is None:
            return None
        raise
    if tokenizer.kind != kind or tokenizer.vocab_size > text.vocabulary:
        raise ValueError(
            f"--tokenizer: expected a {kind} tokenizer of at most {text.vocabulary} words, got "
            f"{tokenizer.kind} with {tokenizer.vocab_size}"
        )
    return tokenizer


def text_config(config: registry.AnyConfig) -> TextConfig | None:
    """The text encoder's config, if there is one."""
    if isinstance(config, TextConfig):
        return config
    reads = isinstance(config, registry.CaptionModelConfig | ClipConfig)
    return config.text if reads else None


def describe_tokenizer(conversion: Conversion, tokenizer: Tokenizer | None) -> str:
    """One line on the tokenizer, and on what to do without one."""
    if tokenizer is not None:
        return f"{tokenizer.kind}, {tokenizer.vocab_size} words"
    if text_config(conversion.config) is None:
        return "none, the model reads no text"
    return "none was given; segmenting takes one: convert again with --tokenizer"


def write_ours(
    folder: Path,
    conversion: Conversion,
    tokenizer: Tokenizer | None,
    *,
    path: str,
    data: LabelledDataConfig | None = None,
) -> None:
    """Writes a conversion as a checkpoint with its card and record."""
    text = text_config(conversion.config)
    length = min(TEXT_LENGTH, text.length) if text else 0
    plain = {"source": f"{conversion.source.name}:{path}", "text_length": length}
    description = {
        "config": {"data": plain if data is None else asdict(data)},
        "model": registry.to_dict(conversion.config),
        "tokenizer": tokenizer.to_dict() if tokenizer else {},
        "versions": package_versions(),
    }
    weights = {"params": conversion.params, "stats": conversion.stats}
    folder.mkdir()
    checkpoint.write_model(folder, weights, description=description)
    write_record(folder, conversion)
    card = model_card(conversion, path=path, tokenizer=describe_tokenizer(conversion, tokenizer))
    (folder / CARD).write_text(card, encoding="utf-8")


def _export_ours(arguments: argparse.Namespace) -> int:
    if arguments.to == OURS:
        raise ValueError("--to: expected safetensors or groupvit-hf for weights of ours")
    if arguments.verify or arguments.set or arguments.tokenizer:
        raise ValueError("--verify, --set and --tokenizer belong to published weights, not to ours")
    stored = checkpoint.read(arguments.file, field="FILE")
    config = registry.any_from_dict(stored.metadata["model"])
    record = read_record(arguments.file)
    tokenizer = stored.metadata["tokenizer"]
    with appearing(arguments.out) as made:
        unused = read_unused(arguments.file)
        end_id = tokenizer["end_id"] if tokenizer else None
        _write(made, arguments.to, config, stored.weights, record, unused, end_id=end_id)
    print(f"{arguments.out}: {registry.model_name(config)} as {arguments.to}")
    return 0


def _write(
    made: Path,
    form: str,
    config: registry.AnyConfig,
    weights: functional.Tree,
    record: Record | None,
    unused: dict[str, Any],
    *,
    end_id: int | None,
) -> None:
    dropped: dict[str, str] = {}
    if form == "groupvit-hf":
        dropped = write_groupvit_hf(made, config, weights, end_id=end_id)
    elif record is not None:
        write_safetensors(made, restore(record, weights, unused))
    else:
        state, dropped = to_original(config, weights)
        write_safetensors(made, state)
    for path, reason in dropped.items():
        print(f"left out: {path}: {reason}")
