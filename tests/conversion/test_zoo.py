"""The table of public weights says only what is known."""

import re
from pathlib import Path

import pytest

from ovs_jax.conversion.sources import SOURCES
from ovs_jax.conversion.zoo import UNKNOWN, ZOO, describe, find
from ovs_jax.evaluation.protocols import protocol_names


@pytest.mark.parametrize("name", ZOO)
def test_an_entry_names_a_source_a_checksum_and_protocols_that_exist(name):
    weights = ZOO[name]
    assert weights.name == name
    assert weights.source in SOURCES
    assert weights.sha256 is None or re.fullmatch("[0-9a-f]{64}", weights.sha256)
    assert weights.address is None or weights.address.startswith("https://")
    assert set(weights.scores) <= set(protocol_names())
    assert bool(weights.scores) == weights.segments


def test_what_is_not_known_is_said_to_be_so():
    text = describe(ZOO["ovsegmentor_vit_base"])
    for fact in ("address", "licence", "size", "sha256"):
        assert re.search(rf"{fact}: +{UNKNOWN}$", text, re.MULTILINE)
    assert "ovsegmentor/voc21 53.8" in text


def test_a_name_is_found_where_its_weights_were_converted_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        find("groupvit_gcc_yfcc")
    text = str(error.value)
    assert "nothing is downloaded by itself" in text
    assert "https://huggingface.co/nvidia/groupvit-gcc-yfcc" in text
    assert "ovs-jax convert groupvit-hf FILE weights/groupvit_gcc_yfcc" in text
    (tmp_path / "weights" / "groupvit_gcc_yfcc").mkdir(parents=True)
    assert find("groupvit_gcc_yfcc") == Path("weights/groupvit_gcc_yfcc")
    assert find("runs/mine") == Path("runs/mine")
