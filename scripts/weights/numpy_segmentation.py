"""Segmentation of a photo with a model of transformers, in NumPy; only the tokenizer is ours.

The steps are those of the golden README and of the published evaluation: resize, windows, groups
multiplied over the stages, the best group of each pixel, its class scores, background, the average
over windows, the resize back. Written for clearness, not for speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ovs_jax.text.tokenizers import Tokenizer

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
TOP = 5
GROUP_MARGIN = 1e-4


@dataclass(frozen=True)
class Labels:
    """What the library's maps amount to.

    Attributes:
      labels: class number of every pixel.
      scores: of all classes, h w c.
      groups: how many groups have pixels, over all windows.
      margin: by how much its score leads the second best; 0 where the pixel's group does not lead
        by more than `GROUP_MARGIN`, so that rounding may give it to another.
    """

    labels: np.ndarray
    scores: np.ndarray
    groups: int
    margin: np.ndarray


def at_size(model: Any, size: int) -> Any:
    """The same GroupViT for images of another size: torch resizes its position embeddings."""
    import torch
    import transformers

    settings = model.config.to_dict()
    settings["vision_config"]["image_size"] = size
    larger = transformers.GroupViTModel(transformers.GroupViTConfig(**settings)).eval()
    state = dict(model.state_dict())
    name = "vision_model.embeddings.position_embeddings"
    table = state[name]
    before = round(table.shape[1] ** 0.5)
    after = size // model.config.vision_config.patch_size
    grid = table.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(
        grid, size=(after, after), mode="bicubic", align_corners=False
    )
    state[name] = grid.permute(0, 2, 3, 1).reshape(1, after * after, -1)
    larger.load_state_dict(state)
    return larger


def segment(
    model: Any,
    tokenizer: Tokenizer,
    image: np.ndarray,
    classes: Sequence[str],
    *,
    background: float | None,
    short_side: int,
    window: int,
    stride: int,
    text_length: int,
) -> Labels:
    """Labels of an RGB image; ``model`` takes images of ``window`` pixels (`at_size`)."""
    import torch

    height, width = image.shape[:2]
    scale = min(2048 / max(height, width), short_side / min(height, width))
    size = int(height * scale + 0.5), int(width * scale + 0.5)
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    pixels = (resized.astype(np.float32) - np.float32(MEAN)) / np.float32(DEVIATION)
    unit = _classes(model, tokenizer, classes, text_length)
    inverse_temperature = min(float(np.exp(model.logit_scale.item())), 100.0)
    count = len(classes) + (background is not None)
    total, seen = np.zeros((*size, count)), np.zeros((*size, 1))
    unclear = np.zeros((*size, 1))
    used: set[int] = set()
    for top in _starts(size[0], window, stride):
        for left in _starts(size[1], window, stride):
            view = pixels[top : top + window, left : left + window]
            tensor = torch.from_numpy(view.transpose(2, 0, 1)[None].copy())
            with torch.no_grad():
                found = model.vision_model(pixel_values=tensor, output_attentions=True)
                whole = model.visual_projection(found.pooler_output)[0].numpy()
                groups = model.visual_projection(found.last_hidden_state[0]).numpy()
            maps = found.attentions[0][0].numpy()
            for later in found.attentions[1:]:
                maps = later[0].numpy() @ maps
            side = round(maps.shape[1] ** 0.5)
            fine = bilinear(maps.reshape(-1, side, side).transpose(1, 2, 0), (window, window))
            table = _group_scores(whole, groups, unit, inverse_temperature)
            if background is not None:
                best = table.max(1, keepdims=True)
                empty = (best < min(background, best.max())).astype(table.dtype)
                table = np.concatenate([empty, table], 1)
            chosen = fine.argmax(-1)
            used |= set(chosen.ravel().tolist())
            total[top : top + window, left : left + window] += table[chosen]
            seen[top : top + window, left : left + window] += 1
            best_two = np.sort(fine, axis=-1)[..., -2:]
            close = best_two[..., 1:] - best_two[..., :1] <= GROUP_MARGIN
            unclear[top : top + window, left : left + window] += close
    scores = bilinear(total / seen, (height, width))
    ranked = np.sort(scores, axis=-1)
    touched = bilinear(unclear, (height, width))[..., 0] > 0
    margin = np.where(touched, 0, ranked[..., -1] - ranked[..., -2])
    return Labels(scores.argmax(-1), scores, len(used), margin)


def _starts(size: int, window: int, stride: int) -> list[int]:
    count = max(size - window + stride - 1, 0) // stride + 1
    return [max(min(i * stride, size - window), 0) for i in range(count)]


def _classes(
    model: Any, tokenizer: Tokenizer, classes: Sequence[str], text_length: int
) -> np.ndarray:
    import torch

    ids, mask = tokenizer([f"a photo of a {name}." for name in classes], length=text_length)
    with torch.no_grad():
        text = model.text_model(
            input_ids=torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).int()
        )
        embedded = model.text_projection(text.pooler_output).numpy()
    return embedded / np.linalg.norm(embedded, axis=-1, keepdims=True)


def _group_scores(
    whole: np.ndarray, groups: np.ndarray, unit: np.ndarray, scale: float
) -> np.ndarray:
    """Groups by classes: softmax over all classes times softmax over the image's best ones."""
    best = np.argsort(-(unit @ whole), kind="stable")[:TOP]
    cosine = groups / np.linalg.norm(groups, axis=-1, keepdims=True) @ unit.T
    kept = np.full_like(cosine, -np.inf)
    kept[:, best] = cosine[:, best]
    return _softmax(cosine * scale) * _softmax(kept * scale)


def _softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def bilinear(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of ``h w c`` with half-pixel centres and without antialiasing."""
    for axis, new in enumerate(size):
        old = x.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        part = (at - low).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x
