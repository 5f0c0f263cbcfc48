"""Out to published forms."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from weights.random_models import SMALL, draw

from ovs_jax.conversion.convert import convert
from ovs_jax.conversion.export import to_original, write_groupvit_hf
from ovs_jax.conversion.rules import ConversionError
from tests.conversion.conftest import write


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_groupvit_goes_to_a_hugging_face_folder_and_back(tmp_path):
    drawn, config = draw(SMALL["groupvit"]), SMALL["groupvit"]
    dropped = write_groupvit_hf(tmp_path / "hf", config, drawn, end_id=None)
    assert dropped == {"multi_label_logit_scale": "this form has no multi-label loss"}
    settings = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert settings["text_config"]["eos_token_id"] == config.text.vocabulary - 1
    assert settings["vision_config"]["num_output_groups"] == [8, 4, 4]
    back = convert("groupvit-hf", tmp_path / "hf")
    assert back.config == SMALL["groupvit-hf"]
    params = {name: part for name, part in drawn["params"].items() if name not in dropped}
    equal(back.params, params)
    equal(back.stats, drawn["stats"])


@pytest.mark.parametrize("source", ["groupvit", "ovsegmentor"])
def test_a_trained_model_goes_to_the_original_names_and_back(source, tmp_path):
    drawn = draw(SMALL[source])
    state, dropped = to_original(SMALL[source], drawn)
    assert dropped == {}
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert len(counters) == (2 if source == "groupvit" else 3)
    back = convert(source, write(tmp_path / "a.safetensors", state))
    equal(back.params, drawn["params"])
    equal(back.stats, drawn["stats"])


def test_choices_that_the_form_lacks_are_all_told(tmp_path):
    config = SMALL["groupvit"]
    encoder = replace(config.encoder, heads=(2, 4, 2), patch_norm=False, group_residual="tokens")
    with pytest.raises(ConversionError) as error:
        write_groupvit_hf(tmp_path, replace(config, encoder=encoder), {}, end_id=1)
    assert str(error.value).splitlines()[1:] == [
        "model: expected encoder.heads, equal in all stages",
        "model: expected encoder.patch_norm = True",
        "model: expected encoder.group_residual = 'groups'",
    ]
    assert not list(tmp_path.iterdir())


def test_what_has_no_published_form_is_told(tmp_path):
    with pytest.raises(ConversionError, match="got 'ovsegmentor', expected groupvit"):
        write_groupvit_hf(tmp_path, SMALL["ovsegmentor"], {}, end_id=None)
    with pytest.raises(ValueError, match=r"'vision_transformer'.*under the names it came with"):
        to_original(SMALL["dino"], {})
    odd = {"params": {"image_encoder": {"own": np.ones(1)}}, "stats": {}}
    with pytest.raises(ConversionError, match="image_encoder/own: no rule for it"):
        to_original(SMALL["groupvit"], odd)
