import json
from dataclasses import replace

import jax
import pytest

from ovs_jax.models import registry
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.nn import functional

PRESETS = [
    ("groupvit", "vit_small"),
    ("groupvit", "vit_small_one_stage"),
    ("groupvit", "nano"),
    ("ovsegmentor", "vit_base"),
    ("ovsegmentor", "vit_small"),
    ("ovsegmentor", "nano"),
    ("zegformer", "resnet50"),
    ("zegformer", "nano_encoders"),
    ("zegformer_baseline", "nano"),
]


@pytest.fixture(scope="module")
def counts():
    """Scalars of each part of a preset, counted without computing anything."""
    known = {}

    def count(name, preset):
        if (name, preset) not in known:
            config = registry.model_config(name, preset)
            params = functional.abstract(registry.build(config))[1]
            known[name, preset] = {part: functional.count({part: params[part]}) for part in params}
        return known[name, preset]

    return count


def dense(inputs, outputs):
    return inputs * outputs + outputs


def norm(d):
    return 2 * d


def block(d):
    """Four projections of attention, an MLP of four times the width and two norms."""
    return 4 * dense(d, d) + dense(d, 4 * d) + dense(4 * d, d) + 2 * norm(d)


def grouping(d, tokens, groups):
    cross = 4 * dense(d, d) + dense(d, 4 * d) + dense(4 * d, d) + 2 * norm(d)
    mix = dense(tokens, d // 2) + dense(d // 2, groups)
    return cross + mix + 4 * dense(d, d) + dense(d, 4 * d) + dense(4 * d, d) + 4 * norm(d)


def projector(inputs):
    return dense(inputs, 4096) + norm(4096) + dense(4096, 256)


def test_the_clip_text_transformer_of_groupvit_has_22_million_parameters(counts):
    expected = 49408 * 256 + 77 * 256 + 12 * block(256) + norm(256)
    assert counts("groupvit", "vit_small")["text_encoder"] == expected == 22_145_792


def test_bert_and_roberta_have_their_published_counts_less_the_pooler(counts):
    pooler = dense(768, 768)
    assert counts("ovsegmentor", "vit_base")["text_encoder"] == 109_482_240 - pooler
    assert counts("ovsegmentor", "vit_small")["text_encoder"] == 124_645_632 - pooler


@pytest.mark.parametrize(
    ("preset", "d", "dino"), [("vit_base", 768, 85_798_656), ("vit_small", 384, 21_665_664)]
)
def test_the_encoder_of_ovsegmentor_is_dinos_and_one_grouping_block(counts, preset, d, dino):
    class_token = 2 * d  # the token and its position
    expected = dino - class_token + 64 * d + grouping(d, 64, 8)
    assert counts("ovsegmentor", preset)["image_encoder"] == expected


def test_the_encoder_of_groupvit_has_two_grouping_blocks_and_a_way_between_them(counts):
    d = 384
    way = norm(d) + dense(64, d // 2) + dense(d // 2, 8)
    vit = dense(16 * 16 * 3, d) + norm(d) + 196 * d + 12 * block(d) + norm(d)
    both = grouping(d, 64, 64) + grouping(d, 8, 8)
    expected = vit + (64 + 8) * d + way + both
    assert counts("groupvit", "vit_small")["image_encoder"] == expected == 28_837_136


def test_projectors_alignment_and_decoder_have_the_sizes_of_the_paper(counts):
    base, small = counts("ovsegmentor", "vit_base"), counts("ovsegmentor", "vit_small")
    assert base["image_projector"] == base["text_projector"] == projector(768)
    assert base["bridge_projector"] == projector(768)
    assert "text_alignment" not in base
    assert small["text_alignment"] == dense(768, 384)
    assert small["bridge_projector"] == projector(384)
    cross = block(384)
    assert small["entity_decoder"] == cross + block(384) + 3 * norm(384)
    assert small["logit_scale"] == 1
    assert counts("groupvit", "vit_small")["multi_label_logit_scale"] == 1


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_config_survives_json(name, preset):
    config = registry.model_config(name, preset)
    written = json.loads(json.dumps(registry.to_dict(config)))
    assert written["name"] == name == registry.model_name(config)
    assert registry.from_dict(written) == config


def test_the_nano_models_are_small(counts):
    for name in ("groupvit", "ovsegmentor"):
        assert sum(counts(name, "nano").values()) < 200_000
    for name in ("zegformer", "zegformer_baseline"):
        assert sum(counts(name, "nano").values()) < 300_000


def test_overrides_change_the_named_fields_and_nothing_else():
    plain = registry.model_config("groupvit", "nano")
    changed = registry.model_config(
        "groupvit",
        "nano",
        overrides={"encoder": {"depths": [2, 1, 1], "drop_path": 0}, "multi_label": False},
    )
    encoder = replace(plain.encoder, depths=(2, 1, 1), drop_path=0.0)
    assert changed == replace(plain, encoder=encoder, multi_label=False)


def test_absent_fields_take_the_published_defaults():
    assert registry.from_dict({"name": "groupvit"}) == GroupViTConfig()


def test_a_parts_with_a_weight_of_nothing_do_not_exist():
    config = registry.model_config("ovsegmentor", "nano", overrides={"entity": False})
    params = functional.abstract(registry.build(config))[1]
    assert not {"entity_decoder", "bridge_projector", "momentum_encoder"} & params.keys()
    config = registry.model_config("ovsegmentor", "nano", overrides={"momentum": True})
    params = functional.abstract(registry.build(config))[1]
    shapes = jax.tree.map(lambda leaf: leaf.shape, params)
    assert shapes["momentum_encoder"] == shapes["image_encoder"]


@pytest.mark.parametrize(
    ("name", "preset", "overrides", "message"),
    [
        ("groupvitt", "nano", {}, r"model\.name: unknown 'groupvitt', .*mean 'groupvit'"),
        ("groupvit", "vitsmall", {}, r"preset of groupvit: unknown 'vitsmall', .*mean 'vit_small'"),
        ("groupvit", "nano", {"enc": {}}, r"model\.enc: no such field, .*mean 'encoder'"),
        ("groupvit", "nano", {"encoder": {"dept": 1}}, r"model\.encoder\.dept: .*mean 'depths'"),
        ("groupvit", "nano", {"encoder": {"width": "9"}}, r"model\.encoder\.width: got '9', .*int"),
        ("groupvit", "nano", {"encoder": {"assignment": "x"}}, r"assignment: got 'x', .*'hard'"),
        ("groupvit", "nano", {"encoder": 3}, r"model\.encoder: got 3, expected a group of fields"),
        ("ovsegmentor", "nano", {"text": {"width": 33}}, None),
    ],
)
def test_what_does_not_exist_or_fit_is_named_with_a_suggestion(name, preset, overrides, message):
    if message is None:
        config = registry.model_config(name, preset, overrides=overrides)
        with pytest.raises(ValueError, match="attention: width 33 is not a multiple of heads 2"):
            functional.abstract(registry.build(config))
        return
    with pytest.raises(ValueError, match=message):
        registry.model_config(name, preset, overrides=overrides)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"heads": (6, 6)}, "must name the same number of stages"),
        ({"output_groups": (8,)}, r"expected one of output_groups \(8,\) for each stage"),
        ({"group_tokens": (0, 64, 8)}, "the stages without group tokens last"),
        ({"image_size": 225}, "image_size 225 is not a multiple of patch_size 16"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**sizes)


def test_a_dict_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"model\.name: unknown ''"):
        registry.from_dict({"encoder": {}})
