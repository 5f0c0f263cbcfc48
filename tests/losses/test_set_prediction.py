import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax import parallel
from ovs_jax.losses.matching import match_targets
from ovs_jax.losses.set_prediction import (
    SetWeights,
    classification_loss,
    mostly_on,
    pixel_classification_loss,
    set_losses,
)

WEIGHTS = SetWeights()
LAYERS, BATCH, QUERIES, TARGETS, CLASSES = 2, 8, 6, 4, 5
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(LAYERS, BATCH, QUERIES, CLASSES + 1)).astype(np.float32)
PREDICTED = 2 * RNG.normal(size=(LAYERS, BATCH, QUERIES, 4, 6)).astype(np.float32)
MASKS = RNG.uniform(size=(BATCH, TARGETS, 16, 24)) < 0.4
COUNTS = [2, 0, 4, 1, 3, 0, 4, 2]


def ragged(counts):
    return np.stack([np.r_[RNG.permutation(CLASSES)[:n], [-1] * (TARGETS - n)] for n in counts])


CLASS_IDS = ragged(COUNTS).astype(np.int32)


@jax.jit
def judge(logits, masks, classes, targets):
    losses = set_losses(logits, masks, classes=classes, targets=targets, weights=WEIGHTS)
    return losses, losses.total(WEIGHTS)


@jax.jit
def judge_counted(logits, masks, classes, targets, valid):
    losses = set_losses(
        logits, masks, classes=classes, targets=targets, weights=WEIGHTS, valid=valid
    )
    return losses.total(WEIGHTS)


def judge_valid(masks, valid):
    return judge_counted(LOGITS, masks, CLASS_IDS, MASKS, valid)


@pytest.fixture(scope="module")
def plain():
    return judge(LOGITS, PREDICTED, CLASS_IDS, MASKS)


def test_every_target_gets_a_query_of_its_own_and_padding_gets_none(plain):
    queries = np.asarray(plain[0].queries)
    assert queries.shape == (LAYERS, BATCH, TARGETS)
    for layer in queries:
        for row, count in zip(layer, COUNTS, strict=True):
            assert len(set(row[:count].tolist())) == count
            assert (row[:count] >= 0).all()
            assert (row[count:] == -1).all()


def test_what_stands_in_the_padding_and_the_order_of_targets_change_nothing(plain):
    masks = MASKS.copy()
    for row, count in zip(masks, COUNTS, strict=True):
        row[count:] = ~row[count:]
    total = judge(LOGITS, PREDICTED, CLASS_IDS, masks)[1]
    np.testing.assert_allclose(total, plain[1], rtol=1e-6)
    total = judge(LOGITS, PREDICTED, CLASS_IDS[:, ::-1], MASKS[:, ::-1])[1]
    np.testing.assert_allclose(total, plain[1], rtol=1e-5)


def test_numbers_of_masks_may_change_without_another_compilation(plain):
    before = judge._cache_size()
    for counts in ([0] * BATCH, [4] * BATCH, [1, 2, 3, 4, 4, 3, 2, 1]):
        losses, total = judge(LOGITS, PREDICTED, ragged(counts).astype(np.int32), MASKS)
        assert np.isfinite(total)
        assert (np.asarray(losses.queries) >= 0).sum() == LAYERS * sum(counts)
    assert judge._cache_size() == before


def test_a_batch_without_masks_teaches_no_object_alone():
    losses, total = judge(LOGITS, PREDICTED, np.full((BATCH, TARGETS), -1, np.int32), MASKS)
    np.testing.assert_array_equal(losses.mask, 0)
    np.testing.assert_array_equal(losses.dice, 0)
    logs = jax.nn.log_softmax(LOGITS, axis=-1)[..., -1]
    np.testing.assert_allclose(total, -logs.mean((1, 2)).sum(), rtol=1e-5)


def test_only_matched_masks_get_gradients_and_every_layer_does(plain):
    gradient = jax.jit(jax.grad(lambda m: judge(LOGITS, m, CLASS_IDS, MASKS)[1]))(PREDICTED)
    moved = np.abs(np.asarray(gradient)).max((3, 4)) > 0
    for layer in range(LAYERS):
        for image in range(BATCH):
            matched = np.asarray(plain[0].queries)[layer, image]
            expected = np.isin(np.arange(QUERIES), matched[matched >= 0])
            np.testing.assert_array_equal(moved[layer, image], expected)


def test_devices_that_match_their_own_rows_get_the_same_losses(plain):
    mesh = parallel.make_mesh((8, 1, 1))
    rows = parallel.batch_sharding(mesh)
    layered = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, *rows.spec))

    @jax.jit
    def run(logits, masks, classes, targets):
        with parallel.visible(mesh):
            losses = set_losses(
                logits,
                masks,
                classes=classes,
                targets=targets,
                weights=WEIGHTS,
                match=parallel.map_over_batch(match_targets),
            )
        return losses.queries, losses.total(WEIGHTS)

    queries, total = run(
        *(jax.device_put(x, layered) for x in (LOGITS, PREDICTED)),
        *(jax.device_put(x, rows) for x in (CLASS_IDS, MASKS)),
    )
    np.testing.assert_array_equal(queries, plain[0].queries)
    np.testing.assert_allclose(total, plain[1], rtol=1e-5)


def test_ignored_pixels_count_as_outside_unless_they_are_named():
    valid = np.ones((BATCH, 16, 24), bool)
    np.testing.assert_allclose(
        judge_valid(PREDICTED, valid), judge(LOGITS, PREDICTED, CLASS_IDS, MASKS)[1], rtol=1e-5
    )
    valid[:, :, 12:] = False
    # The resize reaches one cell across the border.
    other = PREDICTED.copy()
    other[..., 4:] += 3
    np.testing.assert_allclose(judge_valid(other, valid), judge_valid(PREDICTED, valid), rtol=1e-5)
    changed = judge(LOGITS, other, CLASS_IDS, MASKS)[1]
    assert abs(changed - judge(LOGITS, PREDICTED, CLASS_IDS, MASKS)[1]) > 0.1


def test_the_classification_is_divided_by_the_sum_of_weights():
    """Three queries, one of them matched: weights 1, 0.1 and 0.1."""
    logits = np.log(
        np.asarray([[[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.25, 0.25, 0.5]]]], np.float32)
    )
    loss = classification_loss(
        jnp.asarray(logits),
        classes=jnp.asarray([[1, -1]]),
        queries=jnp.asarray([[[0, -1]]]),
        no_object=0.1,
    )
    expected = -(np.log(0.2) + 0.1 * np.log(0.8) + 0.1 * np.log(0.5)) / 1.2
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


def test_masks_are_divided_by_the_number_of_targets_in_the_whole_batch(plain):
    one = CLASS_IDS.copy()
    one[1:] = -1
    first = judge(LOGITS, PREDICTED, one, MASKS)[0]
    rest = CLASS_IDS.copy()
    rest[0] = -1
    others = judge(LOGITS, PREDICTED, rest, MASKS)[0]
    count, all_of_them = COUNTS[0], sum(COUNTS)
    expected = (count * first.mask + (all_of_them - count) * others.mask) / all_of_them
    np.testing.assert_allclose(plain[0].mask, expected, rtol=1e-5)


def test_ignored_pixels_have_no_part_in_the_baseline_loss():
    logits = jnp.log(jnp.asarray([[[[0.5, 0.5], [0.9, 0.1]]]]))
    label = jnp.asarray([[[0, -1]]])
    np.testing.assert_allclose(pixel_classification_loss(logits, label), np.log(2), rtol=1e-5)
    assert pixel_classification_loss(logits, jnp.full((1, 1, 2), -1)) == 0


def test_an_empty_mask_and_one_half_on_valid_pixels_count_as_known():
    masks = np.full((1, 1, 4, 2, 4), -1.0, np.float32)
    masks[0, 0, 1, :, 1:] = 1  # two thirds on ignored cells
    masks[0, 0, 2, :, 1:3] = 1
    masks[0, 0, 3, :, 2:] = 1
    valid = np.zeros((1, 4, 8), bool)
    valid[:, :, :4] = True
    found = mostly_on(jnp.asarray(masks), jnp.asarray(valid))
    assert found[0, 0].tolist() == [True, False, True, False]


def test_a_segment_that_is_not_known_is_judged_only_where_it_has_a_target():
    logits = jnp.asarray(RNG.normal(size=(1, 1, 3, 4)), jnp.float32)
    classes = jnp.asarray([[2, -1]], jnp.int32)
    queries = jnp.asarray([[[1, -1]]], jnp.int32)
    logs = jax.nn.log_softmax(logits)[0, 0]

    def loss(known):
        return classification_loss(
            logits, classes=classes, queries=queries, no_object=0.1, known=known
        )[0]

    first = jnp.asarray([[[True, False, False]]])
    expected = -(0.1 * logs[0, 3] + logs[1, 2]) / 1.1
    np.testing.assert_allclose(loss(first), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(jnp.ones_like(first)), loss(None), rtol=1e-6)
    queries = jnp.full_like(queries, -1)
    assert loss(jnp.zeros_like(first)) == 0
