"""Encoders that training starts from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from weights.random_models import SMALL, draw, original_state

from ovs_jax import parallel
from ovs_jax.conversion.convert import convert
from ovs_jax.conversion.files import write_safetensors
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.nn.position import resize_positions
from ovs_jax.training import checkpoint
from ovs_jax.training import state as states
from ovs_jax.training.optimizer import OptimizerConfig
from ovs_jax.training.pretrained import image_part, text_part
from ovs_jax.training.start import InitConfig, start
from tests.training.stand_in import data, equal, open_run

OVS: Any = SMALL["ovsegmentor"]
VIT: Any = replace(SMALL["dino"], depth=4)  # as many blocks as the two stages together


def shapes(config: Any) -> dict[str, Any]:
    return functional.paths(registry.shapes(config)[1])


@pytest.fixture(scope="session")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dino") / "dino.safetensors"
    write_safetensors(path, original_state("dino", VIT, seed=5))
    return path


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``ovs-jax convert bert`` makes."""
    folder = tmp_path_factory.mktemp("bert")
    description = {"config": {}, "model": registry.to_dict(SMALL["bert"]), "tokenizer": {}}
    checkpoint.write_model(folder, draw(SMALL["bert"], seed=6), description=description)
    return folder


def test_blocks_go_to_the_stages_in_order_and_the_class_token_is_left(dino: Path) -> None:
    part = image_part(f"dino:{dino}", shapes(OVS), heads=(8, 8))
    params = functional.paths(convert("dino", dino).params)
    image, block = "image_encoder", "attention/query/kernel"
    for stage, number, source in ((0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)):
        ours = part.arrays[f"{image}/stages/{stage}/blocks/{number}/{block}"]
        np.testing.assert_array_equal(ours, params[f"blocks/{source}/{block}"])
    position = part.arrays[f"{image}/position_embedding/embedding"]
    np.testing.assert_array_equal(position, params["position_embedding"][1:])
    assert len(part.arrays) == 4 * 16 + 3
    assert part.notes == ("trained with 2 heads, used with 8/8",)
    assert set(part.unused) == {"class_token", "norm/scale", "norm/bias"}


def changed(config: Any, **sizes: tuple[int, ...]) -> dict[str, Any]:
    """The shapes of a model, some of them other; ``a__b`` stands for the path ``a/b``."""
    new = {path.replace("__", "/"): size for path, size in sizes.items()}
    return shapes(config) | {p: jax.ShapeDtypeStruct(s, np.float32) for p, s in new.items()}


def test_positions_are_resized_to_the_models_grid(dino: Path) -> None:
    wanted = changed(OVS, image_encoder__position_embedding__embedding=(36, 128))
    part = image_part(f"dino:{dino}", wanted, heads=(2, 2))
    table = convert("dino", dino).params["position_embedding"]
    expected = resize_positions(jax.numpy.asarray(table[1:].reshape(4, 4, -1)), 6, 6)
    found = part.arrays["image_encoder/position_embedding/embedding"]
    np.testing.assert_array_equal(found, expected.reshape(36, -1))
    assert part.notes == ("positions resized from 4x4 to 6x6",)


def test_a_text_encoder_is_filled_whole_with_the_first_of_its_positions(bert: Path) -> None:
    part = text_part(f"bert:{bert}", changed(OVS, text_encoder__position_embedding=(24, 64)))
    params = functional.paths(draw(SMALL["bert"], seed=6)["params"])
    assert {f"text_encoder/{path}" for path in params} == set(part.arrays)
    table = part.arrays["text_encoder/position_embedding"]
    np.testing.assert_array_equal(table, params["position_embedding"][:24])
    assert (part.notes, part.unused) == (("the first 24 of 40 positions",), ())


def test_clips_text_encoder_starts_groupvits(tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    write_safetensors(path, original_state("clip", SMALL["clip"]))
    part = text_part(f"clip:{path}", shapes(SMALL["groupvit"]))
    expected = convert("clip", path).params["text_encoder"]
    equal(functional.nest(part.arrays)["text_encoder"], expected)


def test_what_does_not_fit_is_told_with_the_field(dino: Path, bert: Path, tmp_path: Path) -> None:
    wide = changed(OVS, image_encoder__patch_embedding__projection__bias=(64,))
    with pytest.raises(ValueError, match=r"init\.image: .* fill .*\(64,\) \(\(128,\) there"):
        image_part(f"dino:{dino}", wide, heads=(8, 8))
    deep = changed(OVS, image_encoder__stages__1__blocks__2__mlp_norm__bias=(128,))
    with pytest.raises(ValueError, match=r"stages/1/blocks/2/.*it has no blocks/4/"):
        image_part(f"dino:{dino}", deep, heads=(8, 8))
    roberta = changed(OVS, text_encoder__type_embedding=(1, 64))
    with pytest.raises(ValueError, match=r"init\.text: .*type_embedding \(1, 64\) \(\(2, 64\)"):
        text_part(f"bert:{bert}", roberta)
    with pytest.raises(ValueError, match=r"init\.image: got 'clip:x', expected SOURCE:PATH"):
        image_part("clip:x", shapes(OVS), heads=())
    with pytest.raises(FileNotFoundError, match=r"init\.text: .*nowhere: expected a weight file"):
        text_part(f"bert:{tmp_path / 'nowhere'}", shapes(OVS))
    with pytest.raises(ValueError, match=r"init\.image: .*holds no vision transformer"):
        image_part(f"dino:{bert}", shapes(OVS), heads=())


def test_the_second_stage_starts_from_the_first_not_from_an_encoder(dino: Path) -> None:
    momentum = {"momentum_encoder/norm/scale": None}
    with pytest.raises(ValueError, match=r"starts from stage 1 \(init\.checkpoint\)"):
        image_part(f"dino:{dino}", momentum, heads=())
    with pytest.raises(ValueError, match="expected either checkpoint"):
        InitConfig(checkpoint="runs/stage1", image=f"dino:{dino}")


def plan(config: Any) -> states.Plan:
    return states.plan(
        registry.build(config),
        mesh=parallel.make_mesh((8, 1, 1), devices=jax.devices()),
        config=OptimizerConfig(frozen=("momentum_encoder/.*",)),
        schedule=optax.constant_schedule(0.1),
    )


def begin(folder: Path, config: Any, init: InitConfig) -> dict[str, Any]:
    run = open_run(folder)
    state = start(plan(config), run, data(), seed=0, init=init, heads=config.encoder.heads)
    run.close()
    return jax.device_get({"params": state["params"], "stats": state["stats"]})


def test_a_run_starts_from_both_encoders_and_draws_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    vit, text = replace(VIT, depth=1), replace(SMALL["bert"], depth=1)
    write_safetensors(tmp_path / "dino.safetensors", original_state("dino", vit))
    description = {"config": {}, "model": registry.to_dict(text), "tokenizer": {}}
    checkpoint.write_model(tmp_path / "bert", draw(text), description=description)
    init = InitConfig(image=f"dino:{tmp_path}/dino.safetensors", text=f"bert:{tmp_path}/bert")
    encoder = replace(OVS.encoder, depths=(1, 0))
    config = replace(OVS, encoder=encoder, text=text, entity=False)
    params = begin(tmp_path / "run", config, init)["params"]
    equal(params["text_encoder"], draw(text)["params"])
    blocks = convert("dino", tmp_path / "dino.safetensors").params["blocks"]["0"]
    equal(params["image_encoder"]["stages"]["0"]["blocks"]["0"], blocks)
    drawn = params["image_projector"]["hidden"]["kernel"]
    assert 0.01 < drawn.std() < 0.03
    assert "trained with 2 heads, used with 8/8 | unused: " in caplog.text
    assert f"init.text: bert:{tmp_path}/bert fills 21 arrays" in caplog.text


def test_stage_2_starts_from_a_converted_stage_1(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "ovs.safetensors", original_state("ovsegmentor", OVS))
    stage1 = convert("ovsegmentor", tmp_path / "ovs.safetensors")
    description = {"config": {}, "model": registry.to_dict(stage1.config), "tokenizer": {}}
    weights = {"params": stage1.params, "stats": stage1.stats}
    checkpoint.write_model(tmp_path / "stage1", weights, description=description)
    rename = ((r"momentum_encoder/(.*)", r"image_encoder/\1"),)
    init = InitConfig(checkpoint=str(tmp_path / "stage1"), rename=rename)
    state = begin(tmp_path / "stage2", replace(OVS, momentum=True), init)
    equal(state["params"]["momentum_encoder"], stage1.params["image_encoder"])
    del state["params"]["momentum_encoder"]
    equal(state["params"], stage1.params)
    equal(state["stats"], stage1.stats)
