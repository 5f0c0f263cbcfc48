"""Every name of the original checkpoints and of the ResNets they start from."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from weights.random_models import SMALL, draw, original_state

from ovs_jax.conversion.convert import convert
from ovs_jax.conversion.export import to_original
from ovs_jax.conversion.rules import ConversionError, to_foreign, to_ours
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.sources import SOURCES, zegformer
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.nn.resnet import ResNetConfig
from tests.conversion.conftest import write

BOTTLENECKS = {"resnet": (3, 4, 6, 3), "resnet-detectron": (3, 4, 23, 3)}


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


@pytest.mark.parametrize("source", BOTTLENECKS)
def test_a_published_resnet_fills_the_whole_backbone_and_nothing_is_left_over(source):
    shapes = torchvision(BOTTLENECKS[source])
    if source == "resnet-detectron":
        shapes = {detectron(name): shape for name, shape in shapes.items()}
    state = {name: np.broadcast_to(np.float32(i), s) for i, (name, s) in enumerate(shapes.items())}
    config, rules = SOURCES[source].config(Sizes(shapes)), SOURCES[source].rules
    assert config == ResNetConfig(blocks=BOTTLENECKS[source])
    _, params, stats = registry.shapes(config)
    converted = to_ours(state, rules, params=params, stats=stats)
    assert {name.split(".")[-2] for name in converted.ignored} == {"fc"}
    back = to_foreign(converted.params, rules) | to_foreign(converted.stats, rules)
    assert back.keys() == state.keys() - converted.ignored.keys()
    assert all((back[name] == state[name]).all() for name in back)


def test_a_model_without_encoders_is_taken_for_post_norm(tmp_path):
    config = SMALL["zegformer"]
    plain = replace(config.transformer, encoder_layers=0, pre_norm=False)
    config = replace(config, transformer=plain)
    path = write(tmp_path / "a.safetensors", original_state("zegformer", config))
    assert convert("zegformer", path).config == config


def test_a_trained_model_goes_to_the_original_names_and_back(tmp_path):
    drawn = draw(SMALL["zegformer"])
    state, dropped = to_original(SMALL["zegformer"], drawn)
    assert dropped == {}
    back = convert("zegformer", write(tmp_path / "a.safetensors", state))
    assert back.config == SMALL["zegformer"]
    for mine, again in ((drawn["params"], back.params), (drawn["stats"], back.stats)):
        flat = functional.paths(again)
        assert all((flat[path] == leaf).all() for path, leaf in functional.paths(mine).items())


def test_another_number_of_classes_is_no_obstacle(tmp_path):
    """The class weights of the loss, the only array that knows them, are left out."""
    state = original_state("zegformer", SMALL["zegformer"])
    for count in (21, 172):
        state[zegformer.CLASS_WEIGHTS] = np.ones(count, np.float32)
        conversion = convert("zegformer", write(tmp_path / f"{count}.safetensors", state))
        assert conversion.unused[zegformer.CLASS_WEIGHTS].shape == (count,)


def test_a_checkpoint_of_something_else_is_told_by_what_it_lacks(tmp_path):
    swin = {"backbone.patch_embed.proj.weight": np.zeros((9, 3, 4, 4), np.float32)}
    with pytest.raises(ConversionError, match=r"backbone\.stem\.conv1\.weight: missing"):
        convert("zegformer", write(tmp_path / "a.safetensors", swin))


def pickled(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 5])
def test_detectrons_pickle_of_arrays_is_read_and_its_names_are_found(tmp_path, protocol):
    state = original_state("resnet-detectron", SMALL["resnet-detectron"])
    content = {"model": state, "__author__": "torchvision", "matching_heuristics": True}
    conversion = convert("resnet", pickled(tmp_path / "R-50.pkl", content, protocol))
    assert (conversion.source.name, conversion.config) == ("resnet-detectron", SMALL["resnet"])
    assert conversion.beside == ("__author__", "matching_heuristics")
    np.testing.assert_array_equal(
        conversion.params["stem"]["conv"]["kernel"],
        state["stem.conv1.weight"].transpose(2, 3, 1, 0),
    )


class Evil:
    def __reduce__(self):
        return print, ("code of the file",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"a": Evil()}}, r"it asks for .*\.print"),
        ({"model": {"a": 3}}, "expected arrays by name"),
        (None, "got NoneType"),
    ],
)
def test_a_pickle_of_anything_else_is_refused_unread(tmp_path, capsys, content, message):
    with pytest.raises(ValueError, match=message):
        convert("resnet", pickled(tmp_path / "R-50.pkl", content))
    assert capsys.readouterr().out == ""


def test_a_damaged_pickle_is_named(tmp_path):
    (tmp_path / "R-50.pkl").write_bytes(b"no pickle")
    with pytest.raises(ValueError, match=r"R-50\.pkl: (not a pickle|holds more)"):
        convert("resnet", tmp_path / "R-50.pkl")


def test_a_caffe_resnet_is_refused(tmp_path):
    """Its stride and its colours are others: nothing of it would work."""
    path = pickled(tmp_path / "R-101.pkl", {"res2_0_branch1_w": np.ones(1, np.float32)})
    with pytest.raises(ConversionError, match="res2_0_branch1_w: no rule for it"):
        convert("resnet", path)
