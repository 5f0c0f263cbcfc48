"""Whole checkpoints in, and back as they came."""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from weights.random_models import SMALL, draw

from ovs_jax.conversion.card import model_card, summary
from ovs_jax.conversion.convert import convert
from ovs_jax.conversion.export import to_names
from ovs_jax.conversion.record import Record, read_record, read_unused, restore, write_record
from ovs_jax.conversion.rules import ConversionError
from ovs_jax.conversion.sizes import Sizes
from ovs_jax.conversion.sources import SOURCES
from ovs_jax.nn import functional
from tests.conversion.conftest import ORIGINAL, write


def weights(conversion):
    return {"params": conversion.params, "stats": conversion.stats}


def same(back, state):
    """Bit for bit, with shapes and types."""
    assert set(back) == set(state)
    for name, array in state.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape), name
        assert back[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("source", ORIGINAL)
def test_sizes_are_read_off_and_the_round_trip_is_exact(source, states, tmp_path):
    conversion = convert(source, write(tmp_path / "weights.safetensors", states[source]))
    assert conversion.config == SMALL[source]
    write_record(tmp_path, conversion)
    record = read_record(tmp_path)
    assert record == Record.of(conversion)
    same(restore(record, weights(conversion), read_unused(tmp_path)), states[source])


def test_the_reference_weights_come_back_bit_for_bit(golden, tmp_path):
    state = dict(np.load(golden / "gvit" / "params.npz"))
    conversion = convert("groupvit", write(tmp_path / "weights.safetensors", state))
    same(restore(Record.of(conversion), weights(conversion), conversion.unused), state)


def test_the_sizes_of_the_reference_are_read_off(golden):
    arrays = np.load(golden / "ovs_tiny" / "params.npz")
    sizes = Sizes({name: arrays[name].shape for name in arrays.files})
    config = SOURCES["ovsegmentor"].config(sizes)
    told = json.loads((golden / "ovs_tiny" / "config.json").read_text())
    assert sizes.problems == []
    assert config.momentum
    assert config.encoder.image_size == told["img"]
    assert config.encoder.depths == tuple(told["depths"])
    assert config.encoder.group_tokens == tuple(told["ngt"])
    assert config.encoder.output_groups == tuple(told["nog"])
    assert config.encoder.patch_norm == told["patch_norm"]
    assert config.text.vocabulary == told["bert"]["vocab_size"]
    assert config.text.length == told["bert"]["max_position_embeddings"]
    assert config.decoder_layers == told["cross_layers"]


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_comes_back_as_it_was(kind, states, tmp_path):
    state = {n: x.astype(kind) for n, x in states["clip"].items() if x.dtype == np.float32}
    conversion = convert("clip", write(tmp_path / "clip.safetensors", state))
    assert {leaf.dtype for leaf in jax.tree.leaves(conversion.params)} == {np.dtype(np.float32)}
    same(restore(Record.of(conversion), weights(conversion), {}), state)


def test_a_prefix_of_distributed_training_is_found_and_given_back(states, tmp_path):
    state = {f"module.backbone.{name}": array for name, array in states["dino"].items()}
    state["module.head.mlp.0.weight"] = np.ones((2, 2), np.float32)
    conversion = convert("dino", write(tmp_path / "dino.safetensors", state))
    assert conversion.config == SMALL["dino"]
    assert list(conversion.unused) == ["module.head.mlp.0.weight"]
    same(restore(Record.of(conversion), weights(conversion), conversion.unused), state)


def test_position_embeddings_without_a_leading_axis_stay_so(states, tmp_path):
    """OVSegmentor started from DINO stores them in two dimensions."""
    state = dict(states["ovsegmentor"])
    state["img_encoder.pos_embed"] = state["img_encoder.pos_embed"][0]
    conversion = convert("ovsegmentor", write(tmp_path / "ovs.safetensors", state))
    assert conversion.config == SMALL["ovsegmentor"]
    same(restore(Record.of(conversion), weights(conversion), conversion.unused), state)


def test_what_shapes_do_not_tell_can_be_set(states, tmp_path):
    path = write(tmp_path / "weights.safetensors", states["groupvit"])
    heads = {"encoder": {"heads": (4, 4, 4)}}
    assert convert("groupvit", path, overrides=heads).config.encoder.heads == (4, 4, 4)
    with pytest.raises(ValueError, match=r"model\.encoder\.head: no such field"):
        convert("groupvit", path, overrides={"encoder": {"head": 4}})


def test_everything_wrong_with_a_checkpoint_is_told_at_once(states, tmp_path):
    state = dict(states["groupvit"])
    del state["img_encoder.layers.0.blocks.1.attn.qkv.bias"]
    state["text_encoder.ln_final.weight"] = np.ones(3, np.float32)
    state["img_encoder.norm.bias"] = state["img_encoder.norm.bias"].astype(np.float64)
    state["classifier.weight"] = np.ones((2, 2), np.float32)
    with pytest.raises(ConversionError) as error:
        convert("groupvit", write(tmp_path / "a.safetensors", state))
    lines = str(error.value).splitlines()
    assert lines[0] == "6 problems in the conversion:"
    block = "image_encoder/stages/0/blocks/1/attention"
    assert set(lines[1:]) == {
        "classifier.weight: no rule for it",
        "img_encoder.norm.bias: got float64, expected one of ('float32', 'float16', 'bfloat16')",
        *(f"{block}/{part}/bias: nothing fills it" for part in ("query", "key", "value")),
        "text_encoder/norm/scale: got shape (3,), expected (64,)",
    }


def test_a_checkpoint_of_another_kind_is_recognised(states, tmp_path):
    with pytest.raises(ConversionError) as error:
        convert("groupvit", write(tmp_path / "a.safetensors", states["dino"]))
    text = str(error.value)
    assert "problems in source groupvit" in text
    assert "img_encoder.pos_embed: missing, and the model's size stands in it" in text
    assert "cls_token: no rule for it" in text
    assert text.endswith("the names are those of source dino or timm-vit")


def test_positions_that_fill_no_square_are_told(states, tmp_path):
    state = dict(states["dino"])
    state["pos_embed"] = state["pos_embed"][:, :-1]
    with pytest.raises(ConversionError, match="got 15 positions of patches, expected a square"):
        convert("dino", write(tmp_path / "a.safetensors", state))


def test_an_unknown_source_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"unknown 'groupvitt'.*did you mean 'groupvit'"):
        convert("groupvitt", tmp_path / "nowhere.pth")


def test_the_record_refuses_weights_that_are_not_its_own(states, tmp_path):
    conversion = convert("dino", write(tmp_path / "dino.safetensors", states["dino"]))
    params = {name: value for name, value in conversion.params.items() if name != "norm"}
    with pytest.raises(ConversionError, match=r"norm\.weight: nothing gives it"):
        restore(Record.of(conversion), {"params": params, "stats": {}}, {})
    with pytest.raises(ConversionError, match="stray: was not in the source"):
        restore(Record.of(conversion), weights(conversion), {"stray": np.ones(1)})


def test_a_damaged_record_is_an_error_and_none_is_none(tmp_path):
    assert read_record(tmp_path) is None
    (tmp_path / "conversion.json").write_text('{"version": 99}')
    with pytest.raises(ValueError, match=r"conversion\.json: not a record.*version 99"):
        read_record(tmp_path)


def test_the_card_tells_the_fate_of_every_array(states, tmp_path):
    path = write(tmp_path / "weights.safetensors", states["ovsegmentor"])
    conversion = convert("ovsegmentor", path)
    counts = summary(conversion)
    assert counts["ignored"] == len(conversion.unused) == 15
    assert sum(counts.values()) == len(states["ovsegmentor"])
    card = model_card(conversion, path="ovs.pth", tokenizer="wordpiece, 200 words")
    assert conversion.files[0].sha256 in card
    assert f"Parameters: {functional.count(conversion.params):,}" in card
    rows = [line for line in card.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [entry.name for entry in conversion.entries]
    assert "| `logit_scale_mask` | scalar | float32 | ignored | a temperature that no loss" in card


# Hugging Face folders, without torch: names by our own rules; their truth is tested where
# transformers is installed.


def folder_of(path, source, settings, *, rename=lambda name: name):
    state, _ = to_names(SOURCES[source], draw(SMALL[source]))
    path.mkdir()
    write(path / "model.safetensors", {rename(name): array for name, array in state.items()})
    (path / "config.json").write_text(json.dumps(settings))
    return path, {rename(name): array for name, array in state.items()}


def test_what_config_json_leaves_out_is_read_off_the_shapes(tmp_path):
    """Newer folders hold only what differs from their library's defaults."""
    path, _ = folder_of(tmp_path / "hf", "groupvit-hf", {"model_type": "groupvit"})
    assert convert("groupvit-hf", path).config == SMALL["groupvit-hf"]
    path, _ = folder_of(tmp_path / "clip", "clip-hf", {"vision_config": {"patch_size": 16}})
    conversion = convert("clip", path)  # the form is found by its names
    assert (conversion.source.name, conversion.config) == ("clip-hf", SMALL["clip-hf"])


def test_a_choice_that_the_model_lacks_is_told(tmp_path):
    settings = {"vision_config": {"hidden_act": "relu", "assign_eps": 0.5, "depths": 3}}
    path, _ = folder_of(tmp_path / "hf", "groupvit-hf", settings)
    with pytest.raises(ConversionError) as error:
        convert("groupvit-hf", path)
    assert str(error.value).splitlines()[1:4] == [
        "config.json: vision_config.hidden_act: got 'relu', expected 'gelu'",
        "config.json: vision_config.assign_eps: got 0.5, expected 1.0",
        "config.json: vision_config.depths: got 3, expected list",
    ]


def test_a_layer_that_config_json_promises_must_be_there(tmp_path):
    path, _ = folder_of(tmp_path / "hf", "bert", {"model_type": "bert", "num_hidden_layers": 3})
    with pytest.raises(ConversionError, match=r"layers/2/attention/key/bias: nothing fills it"):
        convert("bert", path)


def test_berts_first_names_are_known_and_given_back(tmp_path):
    def old(name):
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        return "bert." + name.replace("LayerNorm.bias", "LayerNorm.beta")

    settings = {"model_type": "bert", "num_attention_heads": 1}
    path, state = folder_of(tmp_path / "hf", "bert", settings, rename=old)
    conversion = convert("bert", path)
    assert conversion.config == SMALL["bert"]
    same(restore(Record.of(conversion), weights(conversion), {}), state)


def test_a_file_in_place_of_a_folder_with_its_config_is_told(tmp_path):
    path, _ = folder_of(tmp_path / "hf", "bert", {})
    with pytest.raises(
        FileNotFoundError, match=r"expected a Hugging Face folder with config\.json"
    ):
        convert("bert", path / "model.safetensors")
