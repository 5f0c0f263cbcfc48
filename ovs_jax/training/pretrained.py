"""Encoders that training starts from: DINO or an ImageNet ViT for images, BERT, RoBERTa or CLIP for
texts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ovs_jax.conversion.convert import convert
from ovs_jax.models import registry
from ovs_jax.models.text import TextConfig
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.nn import functional
from ovs_jax.nn.position import resize_positions
from ovs_jax.training import checkpoint

IMAGE_SOURCES = ("dino", "timm-vit")
TEXT_SOURCES = ("bert", "roberta", "clip")
_POSITIONS = "position_embedding/embedding"


@dataclass(frozen=True)
class Part:
    """Weights for a part of a model.

    Attributes:
      arrays: by our path in the model.
      notes: what was changed on the way, in words.
      unused: paths of the encoder that the model has no place for.
    """

    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...]
    unused: tuple[str, ...]


def read_encoder(
    spec: str, sources: tuple[str, ...], *, field: str
) -> tuple[registry.EncoderConfig, functional.Tree]:
    """Reads an encoder from a published file or from what ``ovs-jax convert`` made of it.

    Args:
      spec: ``SOURCE:PATH``.
      sources: those that can be used here.
      field: what to call it in an error.

    Returns:
      The encoder's config and parameters.

    Raises:
      ValueError: the source cannot be used here, or the file cannot be converted.
      FileNotFoundError: there is no such file.
    """
    name, _, path = spec.partition(":")
    if name not in sources or not path:
        raise ValueError(f"{field}: got '{spec}', expected SOURCE:PATH with one of {sources}")
    try:
        if (Path(path) / checkpoint.FOLDER).is_dir():
            stored = checkpoint.read(path, field=field)
            return (
                registry.encoder_from_dict(stored.metadata["model"]),
                stored.weights["params"],
            )
        conversion = convert(name, path)
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(field) else f"{field}: {text}") from error
    config = conversion.config
    if not isinstance(config, registry.EncoderConfig):  # not so with the sources above
        raise ValueError(f"{field}: {path} holds {registry.model_name(config)}, not an encoder")
    return config, conversion.params


def image_part(
    spec: str, wanted: Mapping[str, Any], *, heads: tuple[int, ...], field: str = "init.image"
) -> Part:
    """Fills a grouping encoder from a plain vision transformer (OVSegmentor, section 4.1).

    Blocks go to the stages in order; patch projection and position embeddings are taken over, the
    latter resized to the model's grid (bicubic, a = -0.75), without the class token's. Group
    tokens, grouping blocks and the final norm start from scratch. The model's own number of heads
    stands: OVSegmentor uses DINO's 12-head weights with 8.

    Args:
      spec: ``dino:PATH`` or ``timm-vit:PATH``.
      wanted: path to shape of the model's parameters.
      heads: of the model's stages.
      field: what to call the spec in an error.

    Returns:
      The arrays and what was done to them.

    Raises:
      ValueError: widths or depths do not fit, or the model is in its second stage.
      FileNotFoundError: there is no such file.
    """
    if any(path.startswith("momentum_encoder/") for path in wanted):
        raise ValueError(
            f"{field}: a model with a momentum encoder starts from stage 1 (init.checkpoint), of "
            "which that encoder is a copy"
        )
    config, params = read_encoder(spec, IMAGE_SOURCES, field=field)
    if not isinstance(config, VisionConfig):
        raise ValueError(f"{field}: {spec} holds no vision transformer")
    offered, ours = functional.paths(params), "image_encoder"
    sources = {
        f"{ours}/patch_embedding/projection/{leaf}": f"patch_embedding/projection/{leaf}"
        for leaf in ("kernel", "bias")
    }
    numbers = {
        tuple(map(int, found.groups()))
        for path in wanted
        if (found := re.match(rf"{ours}/stages/(\d+)/blocks/(\d+)/", path))
    }
    for number, (stage, block) in enumerate(sorted(numbers)):
        prefix = f"{ours}/stages/{stage}/blocks/{block}/"
        sources |= {
            path: path.replace(prefix, f"blocks/{number}/")
            for path in wanted
            if path.startswith(prefix)
        }
    arrays = {path: offered[source] for path, source in sources.items() if source in offered}
    table = np.asarray(offered["position_embedding"])
    position = f"{ours}/{_POSITIONS}"
    arrays[position], before, after = _resized(table[1:], rows=wanted[position].shape[0])
    _check(arrays, sources, wanted, spec, field)
    notes = []
    if before != after:
        notes.append(f"positions resized from {before}x{before} to {after}x{after}")
    if heads and set(heads) != {config.heads}:
        notes.append(f"trained with {config.heads} heads, used with {'/'.join(map(str, heads))}")
    used = {*sources.values(), "position_embedding"}
    return Part(arrays, tuple(notes), tuple(path for path in offered if path not in used))


def _resized(table: np.ndarray, *, rows: int) -> tuple[np.ndarray, int, int]:
    before, after = round(len(table) ** 0.5), round(rows**0.5)
    grid = jnp.asarray(table.reshape(before, before, -1))
    return np.asarray(resize_positions(grid, after, after)).reshape(rows, -1), before, after


def text_part(spec: str, wanted: Mapping[str, Any], *, field: str = "init.text") -> Part:
    """Fills a text encoder.

    Of the position embeddings the first ones are taken, if the model has fewer.

    Args:
      spec: ``bert:PATH``, ``roberta:PATH`` or ``clip:PATH``.
      wanted: path to shape of the model's parameters.
      field: what to call the spec in an error.

    Returns:
      The arrays and what was done to them.

    Raises:
      ValueError: kind or sizes do not fit.
      FileNotFoundError: there is no such file.
    """
    config, params = read_encoder(spec, TEXT_SOURCES, field=field)
    if not isinstance(config, TextConfig | ClipConfig):
        raise ValueError(f"{field}: {spec} holds no text transformer")
    tree = params["text_encoder"] if isinstance(config, ClipConfig) else params
    offered, ours = functional.paths(tree), "text_encoder/"
    sources = {path: path.removeprefix(ours) for path in wanted if path.startswith(ours)}
    arrays = {path: np.asarray(offered[s]) for path, s in sources.items() if s in offered}
    notes = []
    position = f"{ours}position_embedding"
    rows, table = wanted[position].shape[0], arrays.get(position)
    if table is not None and rows < len(table):
        arrays[position] = table[:rows]
        notes.append(f"the first {rows} of {len(table)} positions")
    _check(arrays, sources, wanted, spec, field)
    used = set(sources.values())
    return Part(arrays, tuple(notes), tuple(path for path in offered if path not in used))


def _check(
    arrays: Mapping[str, np.ndarray],
    sources: Mapping[str, str],
    wanted: Mapping[str, Any],
    spec: str,
    field: str,
) -> None:
    problems = [
        f"{path} {tuple(wanted[path].shape)} (it has no {source})"
        for path, source in sources.items()
        if path not in arrays
    ]
    problems += [
        f"{path} {tuple(wanted[path].shape)} ({array.shape} there)"
        for path, array in arrays.items()
        if array.shape != tuple(wanted[path].shape)
    ]
    if problems:
        raise ValueError(f"{field}: {spec} cannot fill {checkpoint.some(problems)}")
