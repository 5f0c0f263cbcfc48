"""Model FLOPs, counted by hand.

Counted are the matrix products of a forward pass (2 a multiply-add): patch embedding, transformer
blocks, grouping, text encoder, projectors, decoder. A backward pass is two products for each of
them, one for the weights and one for the input. Where one of these does not exist it is not
counted: weights that are frozen, the image below the patch embedding, branches without gradient
(momentum encoder, projections that only move running statistics, and of those the second dense
layer, whose result nobody uses). Not counted: norms, softmax, activations, embedding lookups,
the losses themselves, the optimizer, and anything computed twice to save memory.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from jax.sharding import Mesh

from ovs_jax.chips import peak_flops
from ovs_jax.models import registry
from ovs_jax.models.groupvit.config import EncoderConfig
from ovs_jax.models.groupvit.grouping import TOKEN_MLP_RATIO
from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.registry import CaptionModelConfig
from ovs_jax.models.text.config import TextConfig
from ovs_jax.nn import functional
from ovs_jax.training.config import RunConfig, captioned
from ovs_jax.training.meter import Arithmetic
from ovs_jax.training.objectives import CaptionObjective


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of a forward pass and of what its gradient adds."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.forward + self.backward

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: int) -> "Flops":
        return Flops(self.forward * times, self.backward * times)


def trained(forward: int) -> Flops:
    """Products with gradients of both factors."""
    return Flops(forward, 2 * forward)


def first(forward: int) -> Flops:
    """Products with trained weights whose input needs no gradient."""
    return Flops(forward, forward)


def without_gradient(forward: int) -> Flops:
    """Products of a branch that nothing is differentiated through."""
    return Flops(forward, 0)


def linear(rows: int, inputs: int, outputs: int) -> int:
    """A dense layer."""
    return 2 * rows * inputs * outputs


def mlp(rows: int, width: int, hidden: int) -> int:
    """Two dense layers, there and back."""
    return linear(rows, width, hidden) + linear(rows, hidden, width)


def attention(queries: int, keys: int, width: int) -> int:
    """Query and output projections, key and value projections, scores and their use."""
    projections = 2 * linear(queries, width, width) + 2 * linear(keys, width, width)
    return projections + 2 * linear(queries, width, keys)


def block(tokens: int, width: int, hidden: int) -> int:
    """A transformer block."""
    return attention(tokens, tokens, width) + mlp(tokens, width, hidden)


def cross_block(queries: int, keys: int, width: int) -> int:
    """A cross-attention block, whose MLP is four times as wide."""
    return attention(queries, keys, width) + mlp(queries, width, 4 * width)


def token_mlp(inputs: int, outputs: int, width: int) -> int:
    """An MLP along the token axis: its rows are the channels."""
    hidden = int(width * TOKEN_MLP_RATIO)
    return linear(width, inputs, hidden) + linear(width, hidden, outputs)


def grouping(tokens: int, group_tokens: int, groups: int, width: int) -> int:
    """A grouping block: mixing, cross-attention, assignment and MLP."""
    mix = token_mlp(group_tokens, groups, width) + cross_block(groups, tokens, width)
    # Query and output of the groups, key and value of the tokens, the logits and the merging.
    return mix + attention(groups, tokens, width) + mlp(groups, width, 4 * width)


def patches(encoder: EncoderConfig, image_size: int) -> int:
    """The patch embedding of an image."""
    count = (image_size // encoder.patch_size) ** 2
    return linear(count, 3 * encoder.patch_size**2, encoder.width)


def stages(encoder: EncoderConfig, image_size: int) -> int:
    """Everything of an image encoder after the patch embedding."""
    tokens, total, previous = (image_size // encoder.patch_size) ** 2, 0, 0
    outputs = iter(encoder.output_groups)
    for depth, group_tokens in zip(encoder.depths, encoder.group_tokens, strict=True):
        if group_tokens and previous:
            total += token_mlp(previous, group_tokens, encoder.width)
        total += depth * block(tokens + group_tokens, encoder.width, 4 * encoder.width)
        if group_tokens:
            groups = next(outputs)
            total += grouping(tokens, group_tokens, groups, encoder.width)
            tokens = groups
        previous = group_tokens
    return total


def text(config: TextConfig, length: int) -> int:
    """A text through its encoder, padding included."""
    return config.depth * block(length, config.width, config.hidden)


def statistics(rows: int, inputs: int, config: ProjectorConfig) -> Flops:
    """A projection that only moves running statistics: its first dense layer."""
    return without_gradient(linear(rows, inputs, config.hidden) if config.hidden else 0)


def projection(rows: int, inputs: int, config: ProjectorConfig) -> tuple[int, int]:
    """The products of the layer that sees the input, and those of the layer after it."""
    if not config.hidden:
        return linear(rows, inputs, config.outputs), 0
    return linear(rows, inputs, config.hidden), linear(rows, config.hidden, config.outputs)


def segmentation(config: CaptionModelConfig, image_size: int) -> Flops:
    """One window through the image encoder and projector, its groups included; no painting."""
    encoder = config.encoder
    rows = 1 + encoder.output_groups[-1]
    projected = sum(projection(rows, encoder.width, config.projector))
    return without_gradient(patches(encoder, image_size) + stages(encoder, image_size) + projected)


def training_flops(config: RunConfig, *, text_length: int | None = None) -> Flops:
    """Model FLOPs of one image with its texts through a run's training step, both passes.

    A step needs ``batch_size`` times as many. Over time and the peak rate of the devices this is
    the run's model FLOP utilisation.

    Args:
      config: of the run, of a model that learns from captions.
      text_length: tokens that every text is padded to; ``data.text_length`` if not given.

    Raises:
      ValueError: the model does not learn from captions, or the objective is not counted.
    """
    model = registry.from_dict(config.model)
    if not isinstance(model, CaptionModelConfig):
        raise ValueError(f"model.name: the FLOPs of '{registry.model_name(model)}' are not counted")
    data, objective = captioned(config)
    frozen = [(pattern, True) for pattern in config.optimizer.frozen]
    text_frozen = functional.match(["text_encoder/"], frozen, False)["text_encoder/"]
    return training(
        model,
        objective,
        text_length=data.text_length if text_length is None else text_length,
        text_trained=not text_frozen,
        prompts=data.prompt_count,
    )


def arithmetic(config: RunConfig, mesh: Mesh) -> Arithmetic | None:
    """What utilisation is computed from, or None where the run's FLOPs are not counted."""

    @cache
    def each(length: int) -> float:
        return float(training_flops(config, text_length=length).total)

    try:
        training_flops(config)
    except ValueError:
        return None
    peak = peak_flops(mesh.devices.flat[0].device_kind, config.step.dtype)
    return Arithmetic(
        flops=lambda batch: len(batch["image"]) * each(batch["caption"]["ids"].shape[-1]),
        peak=None if peak is None else peak * mesh.size,
    )


def training(
    config: CaptionModelConfig,
    objective: CaptionObjective,
    *,
    text_length: int,
    text_trained: bool = True,
    prompts: int = 0,
) -> Flops:
    """One image with its texts through a training step.

    Args:
      config: of the model.
      objective: which losses are computed.
      text_length: tokens of every text, padding included.
      text_trained: whether the text encoder is not frozen.
      prompts: noun prompts an image, for the multi-label loss.

    Raises:
      ValueError: the objective compares both directions of a pair, which is not counted.
    """
    if objective.dual:
        raise ValueError("objective.dual: its products are not counted, expected dual=False")
    encoder, words, head = config.encoder, config.text, config.projector
    groups = encoder.output_groups[-1]
    pixels = patches(encoder, encoder.image_size), stages(encoder, encoder.image_size)
    total = first(pixels[0]) + trained(pixels[1])
    below, above = projection(1, encoder.width, head)
    total += trained(below + above)

    contrasted = 1 + (prompts if objective.multi_label else 0) + (1 if objective.entity else 0)
    encoded = contrasted + (1 if objective.entity else 0)  # the question is encoded, not contrasted
    one_text = text(words, text_length)
    total += (trained(one_text) if text_trained else without_gradient(one_text)) * encoded
    below, above = projection(contrasted, words.width, head)
    total += (trained(below) if text_trained else first(below)) + trained(above)
    if objective.project_tokens:
        if not objective.multi_label:
            total += statistics(text_length, words.width, head)
        if objective.entity:
            total += statistics(2 * text_length, words.width, head)
    if objective.entity:
        total += statistics(1, words.width, head) + entity(config, text_length)
    if objective.mask:
        total += mask(config, objective, text_length)
    elif objective.project_tokens:
        total += statistics(groups, encoder.width, head)
    return total


def entity(config: Any, text_length: int) -> Flops:
    """The masked-entity decoder and its projector."""
    image, words, groups = config.encoder.width, config.text.width, config.encoder.output_groups[-1]
    width = min(image, words)
    layer = cross_block(text_length, groups, width) + block(text_length, width, 4 * width)
    total = config.decoder_layers * layer + sum(projection(1, width, config.projector))
    if image > width:
        total += linear(groups, image, width)
    if words > width:
        total += linear(text_length, words, width)
    return trained(total)


def mask(config: Any, objective: CaptionObjective, text_length: int) -> Flops:
    """Momentum encoder, entity prompt and the embeddings of the groups, all without gradient."""
    encoder, words, head = config.encoder, config.text, config.projector
    groups = encoder.output_groups[-1]
    forward = patches(encoder, encoder.image_size) + stages(encoder, encoder.image_size)
    forward += text(words, text_length) + sum(projection(1, words.width, head))
    forward += sum(projection(groups, encoder.width, head))
    total = without_gradient(forward) + statistics(1 + groups, encoder.width, head)
    if objective.project_tokens:
        total += statistics(text_length, words.width, head)
    return total
