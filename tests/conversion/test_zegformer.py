"""Every name of the original checkpoints and of the ResNets they start from."""

import re

import jax
import numpy as np
import pytest

from ovs_jax.conversion.rules import ConversionError, to_foreign, to_ours
from ovs_jax.conversion.zegformer import DETECTRON_RESNET, TORCHVISION_RESNET, ZEGFORMER
from ovs_jax.conversion.zegformer_sizes import zegformer_config
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.nn.resnet import ResNet, ResNetConfig

BOTTLENECKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def drawn(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), tree)


def shapes_of(preset):
    """Our shapes of a published backbone."""
    config = ResNetConfig(blocks=BOTTLENECKS[preset])
    _, params, stats = functional.abstract(lambda rngs: ResNet(config, rngs=rngs))
    return {"backbone": params}, {"backbone": stats}


def normed(name, norm, outputs, inputs, size):
    arrays = {f"{name}.weight": (outputs, inputs, size, size)}
    return arrays | {
        f"{norm}.{part}": (outputs,) for part in ("weight", "bias", "running_mean", "running_var")
    }


def torchvision(blocks):
    """Names and shapes of the file, written from the architecture."""
    shapes = normed("conv1", "bn1", 64, 3, 7) | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    inputs = 64
    for stage, count in enumerate(blocks):
        inner, outputs = 64 * 2**stage, 256 * 2**stage
        for j in range(count):
            at = f"layer{stage + 1}.{j}"
            shapes |= normed(f"{at}.conv1", f"{at}.bn1", inner, inputs, 1)
            shapes |= normed(f"{at}.conv2", f"{at}.bn2", inner, inner, 3)
            shapes |= normed(f"{at}.conv3", f"{at}.bn3", outputs, inner, 1)
            if not j:
                at = f"{at}.downsample"
                shapes |= normed(f"{at}.0", f"{at}.1", outputs, inputs, 1)
            inputs = outputs
    return shapes


def detectron(name):
    """The name that detectron2 gives to one of torchvision's."""
    name = re.sub(r"layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
    name = re.sub(r"bn(\d)", r"conv\1.norm", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    return name if name.startswith("res") else f"stem.{name}"


@pytest.mark.parametrize(
    ("preset", "rules"), [("resnet50", TORCHVISION_RESNET), ("resnet101", DETECTRON_RESNET)]
)
def test_a_published_resnet_fills_the_whole_backbone_and_nothing_is_left_over(preset, rules):
    shapes = torchvision(BOTTLENECKS[preset])
    if rules is DETECTRON_RESNET:
        shapes = {detectron(name): shape for name, shape in shapes.items()}
    state = {name: np.broadcast_to(np.float32(i), s) for i, (name, s) in enumerate(shapes.items())}
    params, stats = shapes_of(preset)
    converted = to_ours(state, rules, params=params, stats=stats)
    assert {name.split(".")[-2] for name in converted.ignored} == {"fc"}
    back = to_foreign(converted.params, rules) | to_foreign(converted.stats, rules)
    assert back.keys() == state.keys() - converted.ignored.keys()
    assert all((back[name] == state[name]).all() for name in back)


@pytest.mark.parametrize("preset", ["nano", "nano_encoders"])
def test_a_model_written_in_the_original_names_comes_back_with_its_config(preset):
    config = registry.model_config(
        "zegformer",
        preset,
        overrides={
            "backbone": {"norm": "frozen"},
            "pixel_decoder": {"groups": 32},
            "transformer": {"dropout": 0.0},
        },
    )
    _, params, stats = functional.abstract(registry.build(config))
    ours = drawn(params), drawn(stats)
    state = to_foreign(ours[0], ZEGFORMER) | to_foreign(ours[1], ZEGFORMER)
    read = zegformer_config({name: array.shape for name, array in state.items()}, heads=2)
    assert read == config
    extra = {"criterion.empty_weight": np.ones(6), "pixel_mean": np.ones((3, 1, 1))}
    extra["sem_seg_head.predictor.clip_model.visual.proj"] = np.ones((2, 2))
    converted = to_ours(state | extra, ZEGFORMER, params=params, stats=stats)
    assert converted.ignored.keys() == extra.keys()
    for mine, back in zip(ours, (converted.params, converted.stats), strict=True):
        flat = functional.paths(back)
        assert all((flat[path] == leaf).all() for path, leaf in functional.paths(mine).items())


def test_another_number_of_classes_is_no_obstacle():
    """The class weights of the loss, the only array that knows them, are left out."""
    rule = next(rule for rule in ZEGFORMER if rule.foreign == "criterion.empty_weight")
    assert not rule.ours


def test_a_checkpoint_of_something_else_is_told_by_what_it_lacks():
    with pytest.raises(ValueError, match=r"backbone\.stem\.conv1\.weight: missing"):
        zegformer_config({"backbone.patch_embed.proj.weight": (96, 3, 4, 4)})


def test_no_two_rules_fill_the_same_path_and_what_is_ignored_has_a_reason():
    for rules in (ZEGFORMER, DETECTRON_RESNET, TORCHVISION_RESNET):
        filled = [path for rule in rules for path in rule.ours]
        assert len(filled) == len(set(filled))
        assert all(bool(rule.ours) != bool(rule.reason) for rule in rules)


def test_a_caffe_resnet_is_refused():
    """Its stride and its colours are others: nothing of it would work."""
    with pytest.raises(ConversionError, match="res2_0_branch1_w: no rule for it"):
        to_ours({"res2_0_branch1_w": np.ones(1)}, DETECTRON_RESNET, params={}, stats={})
