"""The names of the original ZegFormer checkpoints and of ResNets to start from, and our paths.

A frozen batch norm has no parameters here: all four of its vectors are statistics.
"""

from ovs_jax.conversion.layers import dense, fused, norm
from ovs_jax.conversion.rules import Rule, Transform

_CONVOLUTION = Transform("convolution")
_HEAD = "sem_seg_head"
_PREDICTOR = f"{_HEAD}.predictor"
_PIXELS = f"{_HEAD}.pixel_decoder"
STAGES = (2, 3, 4, 5)
"""The stages of a ResNet are counted from the stride's logarithm: res2 has stride 4."""


def kernel(foreign: str, ours: str) -> Rule:
    """The weight of a convolution, (outputs, inputs, rows, columns) there."""
    return Rule(f"{foreign}.weight", (f"{ours}/kernel",), _CONVOLUTION)


def convolution(foreign: str, ours: str) -> list[Rule]:
    """A convolution with bias."""
    return [kernel(foreign, ours), Rule(f"{foreign}.bias", (f"{ours}/bias",))]


def frozen_norm(foreign: str, ours: str) -> list[Rule]:
    """A batch norm whose statistics and affine map stay as they are."""
    return [
        *norm(foreign, ours),
        Rule(f"{foreign}.running_mean", (f"{ours}/mean",)),
        Rule(f"{foreign}.running_var", (f"{ours}/variance",)),
        Rule(f"{foreign}.num_batches_tracked", reason="a counter that nothing reads"),
    ]


def resnet(foreign: str, ours: str) -> list[Rule]:
    """A ResNet as detectron2 names it; ``foreign`` ends in a dot or is empty."""
    rules = [
        kernel(f"{foreign}stem.conv1", f"{ours}/stem/conv"),
        *frozen_norm(f"{foreign}stem.conv1.norm", f"{ours}/stem/norm"),
    ]
    for index, stage in enumerate(STAGES):
        theirs, mine = f"{foreign}res{stage}.{{j}}", f"{ours}/stages/{index}/blocks/{{j}}"
        rules += _convolutions(theirs, mine)
        rules += [
            kernel(f"{theirs}.shortcut", f"{mine}/shortcut"),
            *frozen_norm(f"{theirs}.shortcut.norm", f"{mine}/shortcut_norm"),
        ]
    return rules


def _convolutions(foreign: str, ours: str) -> list[Rule]:
    return [
        rule
        for k in (1, 2, 3)
        for rule in (
            kernel(f"{foreign}.conv{k}", f"{ours}/conv{k}"),
            *frozen_norm(f"{foreign}.conv{k}.norm", f"{ours}/norm{k}"),
        )
    ]


def normed_convolution(foreign: str, ours: str) -> list[Rule]:
    """A convolution without bias, and a group norm."""
    return [kernel(foreign, f"{ours}/conv"), *norm(f"{foreign}.norm", f"{ours}/norm")]


def attention(foreign: str, ours: str) -> list[Rule]:
    """An attention whose query, key and value weights are one array."""
    return [
        *fused(f"{foreign}.in_proj_weight", f"{foreign}.in_proj_bias", ours),
        *dense(f"{foreign}.out_proj", f"{ours}/out"),
    ]


def _feed_forward(foreign: str, ours: str) -> list[Rule]:
    return dense(f"{foreign}.linear1", f"{ours}/hidden") + dense(
        f"{foreign}.linear2", f"{ours}/out"
    )


def encoder(foreign: str, ours: str) -> list[Rule]:
    """Self-attention layers over image tokens."""
    layer, mine = f"{foreign}.layers.{{i}}", f"{ours}/layers/{{i}}"
    return [
        *attention(f"{layer}.self_attn", f"{mine}/attention"),
        *norm(f"{layer}.norm1", f"{mine}/attention_norm"),
        *_feed_forward(layer, f"{mine}/mlp"),
        *norm(f"{layer}.norm2", f"{mine}/mlp_norm"),
        *norm(f"{foreign}.norm", f"{ours}/norm"),
    ]


def decoder(foreign: str, ours: str) -> list[Rule]:
    """Layers of the queries, and the norm they share."""
    layer, mine = f"{foreign}.layers.{{i}}", f"{ours}/layers/{{i}}"
    return [
        *attention(f"{layer}.self_attn", f"{mine}/attention"),
        *norm(f"{layer}.norm1", f"{mine}/attention_norm"),
        *attention(f"{layer}.multihead_attn", f"{mine}/cross"),
        *norm(f"{layer}.norm2", f"{mine}/cross_norm"),
        *_feed_forward(layer, f"{mine}/mlp"),
        *norm(f"{layer}.norm3", f"{mine}/mlp_norm"),
        *norm(f"{foreign}.norm", f"{ours}/norm"),
    ]


def pixel_decoder() -> list[Rule]:
    """Both pixel decoders; levels are counted from 1 there, from the finest."""
    mine = "pixel_decoder"
    rules = []
    for level in (1, 2, 3, 4):
        rules += normed_convolution(f"{_PIXELS}.layer_{level}", f"{mine}/layers/{level - 1}")
    for level in (1, 2, 3):
        rules += normed_convolution(f"{_PIXELS}.adapter_{level}", f"{mine}/adapters/{level - 1}")
    tokens = f"{mine}/token_encoder"
    return [
        *rules,
        *convolution(f"{_PIXELS}.mask_features", f"{mine}/mask_features"),
        *convolution(f"{_PIXELS}.input_proj", f"{tokens}/input_projection"),
        *encoder(f"{_PIXELS}.transformer.encoder", f"{tokens}/encoder"),
    ]


ZEGFORMER = [
    *resnet("backbone.", "backbone"),
    *pixel_decoder(),
    *convolution(f"{_PREDICTOR}.input_proj", "input_projection"),
    *encoder(f"{_PREDICTOR}.transformer.encoder", "encoder"),
    *decoder(f"{_PREDICTOR}.transformer.decoder", "decoder"),
    Rule(f"{_PREDICTOR}.query_embed.weight", ("query_embedding",)),
    *dense(f"{_PREDICTOR}.mask_embed.layers.{{i}}", "mask_head/layers/{i}"),
    *dense(f"{_PREDICTOR}.projection_layer", "class_head/projection"),
    Rule(f"{_PREDICTOR}.bg_feature", ("class_head/no_object",)),
    Rule(f"{_PREDICTOR}.logit_scale", ("class_head/logit_scale",)),
    Rule("criterion.empty_weight", reason="class weights, which the loss makes itself"),
    Rule("*clip*", reason="the frozen CLIP comes from its own file"),
    Rule("pixel_mean", reason="a constant"),
    Rule("pixel_std", reason="a constant"),
]
"""The original ZegFormer with a ResNet."""

DETECTRON_RESNET = [
    *resnet("", "backbone"),
    Rule("stem.fc.*", reason="the classifier is not used"),
]
"""A ResNet-50 or -101 in detectron2's names, converted from torchvision, to start training from."""


def _torchvision() -> list[Rule]:
    rules = [
        kernel("conv1", "backbone/stem/conv"),
        *frozen_norm("bn1", "backbone/stem/norm"),
    ]
    for index in range(len(STAGES)):
        theirs, mine = f"layer{index + 1}.{{j}}", f"backbone/stages/{index}/blocks/{{j}}"
        for k in (1, 2, 3):
            rules.append(kernel(f"{theirs}.conv{k}", f"{mine}/conv{k}"))
            rules += frozen_norm(f"{theirs}.bn{k}", f"{mine}/norm{k}")
        rules.append(kernel(f"{theirs}.downsample.0", f"{mine}/shortcut"))
        rules += frozen_norm(f"{theirs}.downsample.1", f"{mine}/shortcut_norm")
    return [*rules, Rule("fc.*", reason="the classifier is not used")]


TORCHVISION_RESNET = _torchvision()
"""A ResNet-50 or -101 of torchvision, to start training from."""
