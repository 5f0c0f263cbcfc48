import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.text.prompts import (
    TEMPLATES,
    class_prompts,
    fill,
    noun_prompts,
    synonyms,
    templates,
)


def test_the_shipped_template_sets_have_their_published_sizes() -> None:
    sizes = {name: len(templates(name)) for name in ("full", "subset", "simple", "identity")}
    assert sizes == {"full": 80, "subset": 7, "simple": 1, "identity": 1}
    assert len(TEMPLATES) == 80
    with pytest.raises(ValueError, match="prompt templates 'all' are unknown"):
        templates("all")


def test_class_prompts_follow_the_templates_in_order() -> None:
    assert class_prompts("bed ", ("a {}.", "{}")) == ("a bed .", "bed ")
    assert class_prompts("{odd}", ("a {}.",)) == ("a {odd}.",)
    with pytest.raises(ValueError, match="expected exactly one"):
        fill("a photo", "dog")


def test_noun_prompts_draw_nouns_without_replacement() -> None:
    caption = "a dog and a cat on a sofa"
    for seed in range(30):
        prompts = noun_prompts(caption, np.random.default_rng(seed), count=3, templates=("the {}",))
        assert sorted(prompts) == ["the cat", "the dog", "the sofa"]
    orders = {
        noun_prompts(caption, np.random.default_rng(seed), count=2, templates=("{}",))
        for seed in range(60)
    }
    assert len(orders) == 6


def test_short_captions_repeat_themselves() -> None:
    rng = np.random.default_rng(0)
    prompts = noun_prompts("a dog runs", rng, count=3, templates=("the {}",))
    assert prompts == ("the dog", "a dog runs", "a dog runs")
    assert noun_prompts("very", rng, count=2) == ("very", "very")
    assert noun_prompts("a dog", rng, count=0) == ()


@given(st.text(max_size=50), st.integers(0, 5), st.integers(0, 99))
def test_any_caption_gives_the_asked_number_of_prompts_and_the_same_again(
    caption: str, count: int, seed: int
) -> None:
    first = noun_prompts(caption, np.random.default_rng(seed), count=count)
    assert len(first) == count
    assert first == noun_prompts(caption, np.random.default_rng(seed), count=count)


def test_zegformers_prompts_have_their_published_numbers() -> None:
    assert [len(templates(name)) for name in ("scene", "scene_subset", "regions")] == [1, 8, 32]
    regions = templates("regions")
    assert len(set(regions)) == 32
    assert sum(template.endswith(".") for template in regions) == 4
    assert sum("masked" in template for template in regions) == 10
    assert templates("scene") == ("A photo of a {} in the scene",)


def test_synonyms_stand_between_commas() -> None:
    assert synonyms("river, stream") == ("river", "stream")
    assert synonyms("wall-brick") == ("wall-brick",)
    with pytest.raises(ValueError, match="class name 'a, ': expected a name, or several"):
        synonyms("a, ")
