"""The objective of masks: what it hands to the losses, with a model that says what it is told."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.losses.set_prediction import SetLosses, SetWeights
from ovs_jax.models.zegformer.model import Predictions
from ovs_jax.training import mask_objective
from ovs_jax.training.mask_objective import MaskObjective

UNIT = np.eye(3, 4, dtype=np.float32)
RNG = np.random.default_rng(0)
PREDICTED = Predictions(
    logits=jnp.asarray(RNG.normal(size=(2, 2, 4, 4)), jnp.float32),
    masks=jnp.asarray(RNG.normal(size=(2, 2, 4, 4, 4)), jnp.float32),
)


LOSSES = SetLosses(
    classification=jnp.asarray([1.0, 2.0]),
    mask=jnp.asarray([3.0, 4.0]),
    dice=jnp.asarray([5.0, 6.0]),
    queries=jnp.full((2, 2, 3), -1, jnp.int32),
)
KEY = jax.random.key(0)


@dataclass
class Model:
    """Predicts what it was given, and keeps what it was asked."""

    asked: Any = None

    def __call__(self, images: Any, unit: Any, *, key: Any) -> Predictions:
        self.asked = (images.shape, unit.tolist(), key)
        return PREDICTED


def batch() -> dict[str, Any]:
    label = np.full((2, 8, 8), -1, np.int32)
    label[0, :4], label[0, 4:, :3] = 0, 2
    return {
        "image": jnp.zeros((2, 8, 8, 3)),
        "label": jnp.asarray(label),
        # The second image has no seen class.
        "classes": jnp.asarray([[0, 2, -1], [-1, -1, -1]], jnp.int32),
    }


def judged(valid_mask: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, Any]]:
    """The objective's result and what it handed to the losses."""
    handed = {}

    def losses(logits: Any, masks: Any, **given: Any) -> SetLosses:
        handed.update(given, logits=logits, masks=masks)
        return LOSSES

    monkeypatch.setattr(mask_objective, "set_losses", losses)
    weights = SetWeights(2.0, 5.0, 3.0, 0.2)
    model = Model()
    result = MaskObjective(weights, valid_mask=valid_mask)(model, batch(), KEY, class_unit=UNIT)
    handed["asked"] = model.asked
    assert handed["weights"] == weights
    return result, handed


def test_the_loss_is_the_weighted_sum_over_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    (loss, metrics), handed = judged(False, monkeypatch)
    assert handed["asked"] == ((2, 8, 8, 3), UNIT.tolist(), KEY)
    assert handed["logits"] is PREDICTED.logits
    assert handed["masks"] is PREDICTED.masks
    assert loss == 2 * (1 + 2) + 5 * (3 + 4) + 3 * (5 + 6)
    parts = {name: float(value) for name, value in metrics.items()}
    assert parts == {
        "loss": 74, "loss/classification": 2, "loss/mask": 4, "loss/dice": 6, "masks": 1,
    }  # fmt: skip


def test_targets_are_the_pixels_of_each_class_and_valid_those_that_are_not_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, handed = judged(True, monkeypatch)
    areas = handed["targets"].sum((2, 3)).tolist()
    assert areas == [[32, 12, 0], [0, 0, 0]]
    np.testing.assert_array_equal(handed["valid"], batch()["label"] >= 0)
    assert handed["known"] is None
    assert judged(False, monkeypatch)[1]["valid"] is None


def test_segments_on_ignored_pixels_are_spared_if_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(*_: Any, known: Any, **__: Any) -> SetLosses:
        found.append(known)
        return LOSSES

    found: list[Any] = []
    monkeypatch.setattr(mask_objective, "set_losses", losses)
    MaskObjective(spare_ignored=True)(Model(), batch(), KEY, class_unit=UNIT)
    # Of the second image every pixel is ignored.
    empty = ~(PREDICTED.masks > 0).any((3, 4))
    np.testing.assert_array_equal(found[0][:, 1], empty[:, 1])
    assert found[0].shape == PREDICTED.logits.shape[:3]


def test_the_valid_mask_frees_what_is_predicted_on_ignored_pixels() -> None:
    @jax.jit
    def gradients(masks: Any) -> Any:
        def loss(masks: Any, valid_mask: bool) -> Any:
            def model(images: Any, unit: Any, *, key: Any) -> Predictions:
                return Predictions(PREDICTED.logits, masks)

            return MaskObjective(valid_mask=valid_mask)(model, batch(), None, class_unit=UNIT)[0]

        return [jax.grad(loss)(masks, valid_mask) for valid_mask in (True, False)]

    # The lower right corner of the first image is ignored, and all of the second.
    freed, published = (np.asarray(found)[:, 0, :, 3:, 3:] for found in gradients(PREDICTED.masks))
    np.testing.assert_array_equal(freed, 0)
    assert np.abs(published).max() > 0


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"objective.weights.mask: expected at least 0, got"):
        MaskObjective(SetWeights(mask=weight))
