"""The caption objective in two halves, with its texts cut, and by sigmoid."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.data.text_lengths import cut_texts
from ovs_jax.losses.tiles import whole_sums
from ovs_jax.models import registry
from ovs_jax.nn import functional
from ovs_jax.training.objectives import CaptionObjective

ROWS, LENGTH = 8, 24
TASKS = CaptionObjective(multi_label=1.0, entity=1.0, project_tokens=False)
MODEL = {
    "encoder": {"depths": (0, 0), "image_size": 16},
    "multi_label": True,
    "mask_padding": True,
    "logit_bias": True,
}


class Parts:
    """The model with weights spread as trained ones are, and the halves of its objective."""

    def __init__(self) -> None:
        config = registry.model_config("ovsegmentor", "nano", overrides=MODEL)
        self.static, params, self.stats = functional.init(registry.build(config), jax.random.key(0))
        rng = np.random.default_rng(1)
        self.params = jax.tree.map(
            lambda x: x + rng.normal(0, 0.1, x.shape).astype(np.float32) if x.ndim else x, params
        )
        self.features = jax.jit(lambda batch: TASKS.features(self.bound(), batch, None))

    def bound(self) -> Any:
        return functional.bind(self.static, self.params, self.stats, train=True)

    def compare(self, pooled: Any, batch: Any, **changes: Any) -> tuple[Any, Any]:
        """Metrics and batch statistics."""
        objective = replace(TASKS, **changes)

        def run(pooled: Any, batch: Any) -> tuple[Any, Any]:
            model = self.bound()
            return objective.compare(model, pooled, batch)[1], functional.batch_statistics(model)

        return jax.jit(run)(pooled, batch)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


def texts(rng: np.random.Generator, *shape: int) -> dict[str, np.ndarray]:
    mask = np.arange(LENGTH) < rng.integers(4, 15, shape)[..., None]
    ids = rng.integers(5, 500, (*shape, LENGTH))
    return {"ids": np.where(mask, ids, 0).astype(np.int32), "mask": mask}


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((ROWS, 16, 16, 3), np.float32)
    named = {name: texts(rng, ROWS) for name in ("caption", "question", "answer")}
    return {"image": image, **named, "prompts": texts(rng, ROWS, 2)}


@pytest.fixture(scope="module")
def whole(parts: Parts, batch: Any) -> tuple[Any, Any]:
    """Metrics and statistics of the batch at once."""

    def run(batch: Any) -> tuple[Any, Any]:
        model = parts.bound()
        return TASKS(model, batch, None)[1], functional.batch_statistics(model)

    return jax.jit(run)(batch)


def assert_close(found: Any, expected: Any) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected
    )


def test_the_halves_of_an_objective_give_what_it_gives_at_once(
    parts: Parts, batch: Any, whole: tuple[Any, Any]
) -> None:
    cut = [jax.tree.map(lambda x, i=i: x[i::2], batch) for i in range(2)]
    (first, seen), (second, also_seen) = map(parts.features, cut)
    pooled = jax.tree.map(
        lambda a, b: jnp.stack([a, b], 1).reshape(ROWS, *a.shape[1:]), first, second
    )
    metrics, stats = parts.compare(pooled, batch)
    metrics |= {name: (value + also_seen[name]) / 2 for name, value in seen.items()}
    assert metrics.keys() == whole[0].keys()
    np.testing.assert_allclose(metrics["loss"], whole[0]["loss"], rtol=1e-6)
    assert_close((metrics, stats), whole)


def test_texts_cut_to_what_they_need_have_the_same_features(parts: Parts, batch: Any) -> None:
    short = cut_texts(batch, 16)
    assert short["prompts"]["ids"].shape == (ROWS, 2, 16)
    assert_close(parts.features(short)[0], parts.features(batch)[0])


def test_images_meet_captions_and_answers_by_sigmoid_where_it_is_asked_for(
    parts: Parts, batch: Any
) -> None:
    pooled = parts.features(batch)[0]
    expected, _ = parts.compare(pooled, batch, contrast="sigmoid")
    tiled, _ = parts.compare(pooled, batch, contrast="sigmoid", tile=3)
    for name, value in expected.items():
        np.testing.assert_allclose(tiled[name], value, rtol=1e-6, err_msg=name)
    # At first every pair is nearly surely taken for unrelated, which costs the right ones ten.
    assert 9 < expected["loss/contrastive"] < 22
    assert expected["loss/entity"] > 0
    model = parts.bound()
    model.logit_bias = None
    with pytest.raises(ValueError, match=r"'sigmoid' needs .* model.logit_bias=true"):
        replace(TASKS, contrast="sigmoid")._contrast(model, whole_sums)


def test_what_cannot_be_computed_from_parts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"step.negatives: .* objective.project_tokens=False"):
        CaptionObjective().check_parts()
    with pytest.raises(ValueError, match=r"step.negatives: .* objective.mask=0"):
        CaptionObjective(mask=0.1, project_tokens=False).check_parts()
    TASKS.check_parts()


def test_padding_that_something_looks_at_is_not_cut() -> None:
    seen = registry.model_config("ovsegmentor", "nano")
    unseen = registry.model_config("ovsegmentor", "nano", overrides={"mask_padding": True})
    with pytest.raises(ValueError, match=r"objective.project_tokens=false"):
        CaptionObjective().check_padding_unseen(unseen)
    with pytest.raises(ValueError, match=r"model.mask_padding=true"):
        TASKS.check_padding_unseen(seen)
    TASKS.check_padding_unseen(unseen)
