"""What ZegFormer shares with MaskFormer, against the MaskFormer of the transformers library.

Its intermediate hidden states lack the shared norm, its class head is another, and it has neither
encoders nor pre-norm: those are compared with stored numbers only.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.conversion.layers import convolution, dense, frozen_norm, kernel, norm
from ovs_jax.conversion.rules import Rule, to_ours
from ovs_jax.losses.set_prediction import SetWeights, pair_costs, set_losses
from ovs_jax.models import registry
from ovs_jax.models.zegformer.config import (
    RESNET50,
    PixelDecoderConfig,
    TransformerConfig,
    ZegFormerConfig,
)
from ovs_jax.nn import functional
from ovs_jax.nn.resnet import ResNetConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of theirs, while they are imported
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    maskformer: Any = pytest.importorskip("transformers.models.maskformer.modeling_maskformer")

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
SMALL = ZegFormerConfig(
    backbone=ResNetConfig(stem=16, width=8, blocks=(1, 2, 1, 1)),
    pixel_decoder=PixelDecoderConfig(width=64, outputs=32),
    transformer=TransformerConfig(queries=7, width=32, heads=4, hidden=48, decoder_layers=2),
)
FULL = ZegFormerConfig(backbone=RESNET50)


def conv_norm(theirs: str, conv: str, mine: str) -> list[Rule]:
    return [kernel(f"{theirs}.convolution", conv), *frozen_norm(f"{theirs}.normalization", mine)]


def grouped(theirs: str, mine: str) -> list[Rule]:
    return [kernel(f"{theirs}.0", f"{mine}/conv"), *norm(f"{theirs}.1", f"{mine}/norm")]


def rules() -> list[Rule]:
    level = "model.pixel_level_module"
    layer = f"{level}.encoder.encoder.stages.{{i}}.layers.{{j}}"
    mine = "backbone/stages/{i}/blocks/{j}"
    found = conv_norm(
        f"{level}.encoder.embedder.embedder", "backbone/stem/conv", "backbone/stem/norm"
    )
    found += conv_norm(f"{layer}.shortcut", f"{mine}/shortcut", f"{mine}/shortcut_norm")
    for k in range(3):
        found += conv_norm(f"{layer}.layer.{k}", f"{mine}/conv{k + 1}", f"{mine}/norm{k + 1}")
    fpn, pixels = f"{level}.decoder.fpn", "pixel_decoder"
    found += grouped(f"{fpn}.stem", f"{pixels}/layers/3")
    for k in range(3):
        found += grouped(f"{fpn}.layers.{k}.proj", f"{pixels}/adapters/{2 - k}")
        found += grouped(f"{fpn}.layers.{k}.block", f"{pixels}/layers/{2 - k}")
    found += convolution(f"{level}.decoder.mask_projection", f"{pixels}/mask_features")
    queries = "model.transformer_module"
    found.append(Rule(f"{queries}.queries_embedder.weight", ("query_embedding",)))
    found += convolution(f"{queries}.input_projection", "input_projection")
    layer, mine = f"{queries}.decoder.layers.{{i}}", "decoder/layers/{i}"
    for theirs, ours in (("self_attn", "attention"), ("encoder_attn", "cross")):
        for part, name in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "out")):
            found += dense(f"{layer}.{theirs}.{part}_proj", f"{mine}/{ours}/{name}")
        found += norm(f"{layer}.{theirs}_layer_norm", f"{mine}/{ours}_norm")
    found += dense(f"{layer}.mlp.fc1", f"{mine}/mlp/hidden")
    found += dense(f"{layer}.mlp.fc2", f"{mine}/mlp/out")
    found += norm(f"{layer}.final_layer_norm", f"{mine}/mlp_norm")
    found += norm(f"{queries}.decoder.layernorm", "decoder/norm")
    found += dense("mask_embedder.{i}.0", "mask_head/layers/{i}")
    return [*found, Rule("c*", reason="another class head, and its weights")]


def theirs_of(config: ZegFormerConfig) -> Any:
    """Their model of our sizes, with statistics and affine maps away from 0 and 1."""
    sizes, backbone = config.transformer, config.backbone
    torch.manual_seed(0)
    model = transformers.MaskFormerForInstanceSegmentation(
        transformers.MaskFormerConfig(
            backbone_config=transformers.ResNetConfig(
                embedding_size=backbone.stem,
                hidden_sizes=list(backbone.outputs),
                depths=list(backbone.blocks),
                layer_type="bottleneck",
                downsample_in_first_stage=False,
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            decoder_config=transformers.DetrConfig(
                d_model=sizes.width,
                decoder_layers=sizes.decoder_layers,
                decoder_attention_heads=sizes.heads,
                decoder_ffn_dim=sizes.hidden,
                num_queries=sizes.queries,
                dropout=0.0,
            ),
            fpn_feature_size=config.pixel_decoder.width,
            mask_feature_size=config.pixel_decoder.outputs,
            num_labels=5,
        )
    ).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("layer.2.normalization.weight"):
                value.uniform_(0.1, 0.4)  # or features, and their rounding, grow with the depth
            elif name.endswith(("norm.weight", "normalization.weight", "running_var")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "running_mean")):
                value.normal_(0, 0.1)
    return model


@pytest.mark.parametrize("config", [SMALL, FULL], ids=["small", "resnet50"])
def test_levels_mask_features_segments_and_masks_equal_the_librarys(config):
    theirs = theirs_of(config)
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    static, params, stats = functional.abstract(registry.build(config))
    head = {
        "class_head": jax.tree.map(lambda x: np.ones(x.shape, np.float32), params["class_head"])
    }
    scale = {"class_head": {"logit_scale": np.ones(1, np.float32)}}
    shared = [{k: v for k, v in tree.items() if k != "class_head"} for tree in (params, stats)]
    ours = to_ours(state, rules(), params=shared[0], stats=shared[1])
    images = np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype(np.float32)

    @jax.jit
    def run(images):
        model = functional.bind(static, ours.params | head, ours.stats | scale)
        pixels = model.pixel_features(images)
        queries = model.segment_queries(pixels, layers="last")
        masks = jnp.einsum("lbqm,bhwm->lbqhw", queries.mask_embedding, pixels.mask_features)
        return pixels, queries.hidden[-1], masks[-1]

    with jax.default_matmul_precision("highest"):
        pixels, hidden, masks = run(images)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2)), output_hidden_states=True)
    levels = wanted.encoder_hidden_states[-4:]
    pairs = [(x.transpose(0, 3, 1, 2), y) for x, y in zip(pixels.levels, levels, strict=True)]
    pairs.append(
        (pixels.mask_features.transpose(0, 3, 1, 2), wanted.pixel_decoder_last_hidden_state)
    )
    pairs.append((hidden, wanted.transformer_decoder_last_hidden_state))
    pairs.append((masks, wanted.masks_queries_logits))
    for mine, other in pairs:
        other = other.numpy()
        assert np.abs(other).max() > 0.1, "nothing is compared with zero"
        scale = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(np.asarray(mine) / scale, other / scale, atol=1e-4)


@pytest.mark.parametrize("counts", [(3, 0, 5), (1, 7, 2)])
def test_matching_and_every_loss_equal_the_librarys(counts):
    layers, queries, classes, size = 3, 9, 6, (32, 48)
    rng = np.random.default_rng(sum(counts))
    logits = rng.normal(size=(layers, len(counts), queries, classes + 1)).astype(np.float32)
    masks = rng.normal(0, 3, (layers, len(counts), queries, 8, 12)).astype(np.float32)
    bound = max(counts) + 1
    targets = rng.uniform(size=(len(counts), bound, *size)) < 0.4
    labels = rng.integers(0, classes, (len(counts), bound)).astype(np.int32)
    labels[np.arange(bound) >= np.array(counts)[:, None]] = -1
    weights = SetWeights()
    given = {"classes": jnp.asarray(labels), "targets": jnp.asarray(targets), "weights": weights}
    ours = set_losses(jnp.asarray(logits), jnp.asarray(masks), **given)
    costs = pair_costs(jnp.asarray(logits), jnp.asarray(masks), **given)
    assert costs.total.shape == (layers, len(counts), queries, bound)

    matcher = maskformer.MaskFormerHungarianMatcher(cost_class=1.0, cost_mask=20.0, cost_dice=1.0)
    criterion = maskformer.MaskFormerLoss(classes, matcher, {}, 0.1)
    mask_labels = [
        torch.from_numpy(mask[:n].astype(np.float32))
        for mask, n in zip(targets, counts, strict=True)
    ]
    class_labels = [
        torch.from_numpy(row[:n].astype(np.int64)) for row, n in zip(labels, counts, strict=True)
    ]
    for k in range(layers):
        predicted = torch.from_numpy(masks[k]), torch.from_numpy(logits[k])
        wanted = criterion(*predicted, mask_labels, class_labels)
        np.testing.assert_allclose(ours.classification[k], wanted["loss_cross_entropy"], rtol=1e-5)
        np.testing.assert_allclose(ours.mask[k], wanted["loss_mask"], rtol=1e-5)
        np.testing.assert_allclose(ours.dice[k], wanted["loss_dice"], rtol=1e-5)
        for image, (rows, columns) in enumerate(matcher(*predicted, mask_labels, class_labels)):
            mine = np.asarray(ours.queries)[k, image]
            np.testing.assert_array_equal(mine[columns.numpy()], rows.numpy())
