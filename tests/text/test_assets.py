import pytest

from ovs_jax.text.assets import asset_json, asset_text


def test_a_missing_asset_is_reported_with_those_that_exist() -> None:
    with pytest.raises(FileNotFoundError, match=r"'nouns.json' is not part of the package"):
        asset_text("nouns.json")
    assert "filter_words" in asset_json("entities.json")
