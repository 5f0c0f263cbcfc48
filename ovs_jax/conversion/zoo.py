"""Public weights that are known: where they are, whose they are, how to convert them.

Nothing here is downloaded by this package. What is not known is None and said to be so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path("weights")
"""Where `find` looks for converted weights by name."""
UNKNOWN = "not known"


@dataclass(frozen=True)
class Weights:
    """Published weights.

    Attributes:
      name: what this table calls them.
      architecture: in a few words.
      source: the kind, for ``ovs-jax convert``.
      address: where their publishers offer them; None if not known.
      licence: as their publishers state it; None if not known.
      size: of the file in bytes; None if not known.
      sha256: of the file; None if not known.
      scores: published mIoU by evaluation preset and class list.
      note: anything else one must know.
    """

    name: str
    architecture: str
    source: str
    address: str | None
    licence: str | None
    size: int | None = None
    sha256: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def segments(self) -> bool:
        """Whether these are weights of a model that segments, not of an encoder alone."""
        return self.source.startswith(("groupvit", "ovsegmentor"))

    def command(self) -> str:
        """How to convert them, once they are there."""
        tokenizer = {"ovsegmentor": " --tokenizer wordpiece:vocab.txt"}.get(self.source, "")
        if "RoBERTa" in self.architecture and tokenizer:
            tokenizer = " --tokenizer roberta:FOLDER"
        return f"ovs-jax convert {self.source} FILE {FOLDER / self.name}{tokenizer}"


def _dino(name: str, architecture: str, file: str) -> Weights:
    address = f"https://dl.fbaipublicfiles.com/dino/{file}/{file}.pth"
    return Weights(name, architecture, "dino", address, "Apache-2.0")


_TORCHSCRIPT = "a TorchScript archive: export its state dict first (convert tells how)"


def _clip(name: str, architecture: str, sha256: str, file: str) -> Weights:
    # The folder of the address is the checksum of the file.
    address = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
    return Weights(name, architecture, "clip", address, "MIT", sha256=sha256, note=_TORCHSCRIPT)


def _scores(preset: str, **scores: float) -> dict[str, float]:
    return {f"{preset}/{data}": score for data, score in scores.items()}


_NVIDIA = "NVIDIA Source Code License, non-commercial"
_ALL = (
    Weights(
        "groupvit_gcc_yfcc",
        "GroupViT ViT-S, two grouping stages; CC3M + CC12M + YFCC14M",
        "groupvit-hf",
        "https://huggingface.co/nvidia/groupvit-gcc-yfcc",
        _NVIDIA,
        scores=_scores("groupvit", voc21=52.3, context60=22.4, coco_object81=24.3),
    ),
    Weights(
        "groupvit_gcc_redcaps",
        "GroupViT ViT-S, two grouping stages; CC3M + CC12M + RedCaps12M",
        "groupvit-hf",
        "https://huggingface.co/nvidia/groupvit-gcc-redcaps",
        _NVIDIA,
        scores=_scores("groupvit", voc21=50.8, context60=23.7, coco_object81=27.5),
    ),
    Weights(
        "ovsegmentor_vit_base",
        "OVSegmentor ViT-B + BERT, stage 2; CC4M",
        "ovsegmentor",
        None,
        None,
        scores=_scores("ovsegmentor", voc21=53.8, context60=20.4, coco_object81=25.1, ade150=5.6),
    ),
    Weights(
        "ovsegmentor_vit_small",
        "OVSegmentor ViT-S + RoBERTa, stage 2; CC4M",
        "ovsegmentor",
        None,
        None,
        scores=_scores("ovsegmentor", voc21=44.5, context60=18.3, coco_object81=19.0, ade150=4.3),
    ),
    _dino("dino_vitsmall16", "DINO ViT-S/16", "dino_deitsmall16_pretrain"),
    _dino("dino_vitsmall8", "DINO ViT-S/8", "dino_deitsmall8_pretrain"),
    _dino("dino_vitbase16", "DINO ViT-B/16", "dino_vitbase16_pretrain"),
    _dino("dino_vitbase8", "DINO ViT-B/8", "dino_vitbase8_pretrain"),
    Weights(
        "bert_base_uncased",
        "BERT-base, uncased",
        "bert",
        "https://huggingface.co/google-bert/bert-base-uncased",
        "Apache-2.0",
    ),
    Weights(
        "roberta_base",
        "RoBERTa-base",
        "roberta",
        "https://huggingface.co/FacebookAI/roberta-base",
        "MIT",
    ),
    _clip(
        "clip_vit_base_patch32",
        "CLIP ViT-B/32",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "ViT-B-32.pt",
    ),
    _clip(
        "clip_vit_base_patch16",
        "CLIP ViT-B/16",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        "ViT-B-16.pt",
    ),
    _clip(
        "clip_vit_large_patch14",
        "CLIP ViT-L/14",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        "ViT-L-14.pt",
    ),
    Weights(
        "timm_vit_base_patch16",
        "ViT-B/16, ImageNet-21k then ImageNet",
        "timm-vit",
        "https://huggingface.co/timm/vit_base_patch16_224.augreg_in21k_ft_in1k",
        "Apache-2.0",
    ),
)
ZOO: Mapping[str, Weights] = {weights.name: weights for weights in _ALL}
"""Everything that is known, by name."""


def find(name_or_path: str | Path) -> Path:
    """The folder of converted weights, by path or by a name of the table.

    Args:
      name_or_path: a path, or a name whose weights were converted into ``weights/NAME``.

    Raises:
      FileNotFoundError: a name of the table whose weights are not there; tells how to get them.
    """
    path = Path(name_or_path)
    if path.exists() or str(name_or_path) not in ZOO:
        return path
    known = ZOO[str(name_or_path)]
    if (FOLDER / known.name).exists():
        return FOLDER / known.name
    offered = known.address or f"its address is {UNKNOWN}"
    raise FileNotFoundError(
        f"{known.name}: nothing in {FOLDER / known.name}, and nothing is downloaded by itself. Get "
        f"it ({offered}; licence: {known.licence or UNKNOWN}), then: {known.command()}"
    )


def describe(weights: Weights) -> str:
    """Everything that is known of an entry, one line a fact."""
    scores = ", ".join(f"{name} {score}" for name, score in weights.scores.items())
    facts = {
        "architecture": weights.architecture,
        "address": weights.address,
        "licence": weights.licence,
        "size": None if weights.size is None else f"{weights.size} bytes",
        "sha256": weights.sha256,
        "published mIoU": scores or (None if weights.segments else "none, an encoder alone"),
        "convert": weights.command(),
        "note": weights.note or "none",
    }
    lines = [f"  {name + ':':16}{fact or UNKNOWN}" for name, fact in facts.items()]
    return "\n".join([weights.name, *lines])
