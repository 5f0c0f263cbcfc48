import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax import parallel
from ovs_jax.losses.mask_consistency import (
    binarize,
    least_agreeing_groups,
    mask_consistency,
    mask_consistency_steps,
    matching_cost,
    stretch,
    upsample,
)
from ovs_jax.losses.matching import match_maps

steps_of = jax.jit(mask_consistency_steps, static_argnames=("grid", "size"))
loss_of = jax.jit(mask_consistency, static_argnames=("grid", "size", "reduction"))
gradient_of = jax.jit(
    jax.value_and_grad(mask_consistency, argnums=(0, 1)), static_argnames=("grid", "size")
)


@pytest.fixture(scope="module")
def published(golden):
    arrays = np.load(golden / "losses/mask_ovs_mid.npz")
    detached = np.zeros((6, arrays["group_logits"].shape[1]), bool)
    np.put_along_axis(detached, arrays["detached_groups"], True, axis=1)
    maps = jnp.asarray(arrays["attn_pred"]), jnp.asarray(arrays["attn_target"])
    return arrays, maps, {"detached": jnp.asarray(detached), "grid": (14, 14), "size": 224}


def random_maps(seed=0, shape=(2, 3, 12)):
    return jax.random.normal(jax.random.key(seed), (2, *shape)) * 3


def test_every_published_intermediate_result_is_reproduced(published):
    arrays, maps, options = published
    steps = steps_of(*maps, **options)
    np.testing.assert_allclose(steps.cost, arrays["cost"], atol=1e-5)
    np.testing.assert_array_equal(steps.assignment, arrays["idx2"])
    np.testing.assert_allclose(steps.dice, arrays["dice_per_image"], atol=1e-5)
    # 1e-6 is some ten roundings of a sigmoid; so close to the threshold either side is right.
    doubtful = np.asarray(steps.target_margin < 1e-6).sum(axis=(2, 3))
    counts = np.asarray(steps.target).sum(axis=(2, 3))
    assert (np.abs(counts - arrays["target_pos_count"]) <= doubtful).all()


def test_the_published_loss_is_reproduced_and_its_mean_is_a_sixth_of_the_sum(published):
    arrays, maps, options = published
    loss = loss_of(*maps, **options)
    np.testing.assert_allclose(loss, arrays["loss"], atol=1e-5)
    mean = loss_of(*maps, **options, reduction="mean")
    np.testing.assert_allclose(mean * 6, loss, rtol=1e-6)


def test_the_published_choice_of_least_agreeing_groups_is_reproduced(published):
    arrays, _, options = published
    marked = least_agreeing_groups(jnp.asarray(arrays["groups"]), jnp.asarray(arrays["noun_x"]))
    np.testing.assert_array_equal(marked, options["detached"])


def test_of_equally_agreeing_groups_the_first_are_marked():
    marked = least_agreeing_groups(jnp.ones((1, 5, 2)), jnp.ones((1, 2)))
    assert marked.tolist() == [[True, True, False, False, False]]


def test_distances_on_the_patch_grid_equal_distances_of_upsampled_maps():
    first, second = np.asarray(random_maps(1, (2, 5, 3, 4)), np.float64)
    second[:, 0] = first[:, 0] * 2  # one distance is zero
    pixels = [np.asarray(upsample(jnp.asarray(x, jnp.float32), 37)) for x in (first, second)]
    flat = [x.reshape(2, 5, -1).astype(np.float64) for x in pixels]
    flat = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in flat]
    expected = np.linalg.norm(flat[0][:, :, None] - flat[1][:, None], axis=-1)
    cost = matching_cost(*(jnp.asarray(x, jnp.float32) for x in (first, second)), size=37)
    np.testing.assert_allclose(cost, expected, atol=1e-5)
    np.testing.assert_allclose(cost[:, 0, 0], 0.0, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 9])
def test_upsampling_keeps_the_corners(size):
    maps = random_maps(2)[0].reshape(2, 3, 3, 4)
    pixels = upsample(maps, size)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        np.testing.assert_allclose(pixels[..., *corner], maps[..., *corner], rtol=1e-6)


def test_a_map_of_one_patch_fills_the_square():
    np.testing.assert_array_equal(upsample(jnp.full((1, 1), 4.0), 3), np.full((3, 3), 4.0))


def test_only_predicted_maps_get_a_gradient_and_detached_ones_none():
    predicted, target = random_maps(3)
    detached = jnp.asarray([[True, False], [False, True]])
    _, (to_predicted, to_target) = gradient_of(
        predicted, target, detached=detached, grid=(3, 4), size=20
    )
    assert not np.any(to_target)
    reached = np.any(np.asarray(to_predicted) != 0, axis=-1)
    # There are three maps and flags for the first two: the third is never detached.
    np.testing.assert_array_equal(reached, [[False, True, True], [True, False, True]])


def test_the_gradient_equals_finite_differences():
    predicted, target = np.asarray(random_maps(4))
    options = {"detached": jnp.zeros((2, 3), bool), "grid": (3, 4), "size": 16}
    _, (gradient, _) = gradient_of(predicted, target, **options)
    direction = np.random.default_rng(0).normal(size=predicted.shape).astype(np.float32)
    step = 1e-2
    ends = [loss_of(predicted + s * direction, target, **options) for s in (step, -step)]
    slope = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=2e-2)


@pytest.mark.parametrize("value", [0.0, 3.7, -1e4])
def test_a_constant_predicted_map_counts_as_empty_and_leaves_the_rest_finite(value):
    predicted, target = random_maps(5)
    predicted = predicted.at[0, 1].set(value)
    options = {"detached": jnp.zeros((2, 3), bool), "grid": (3, 4), "size": 20}
    loss, (gradient, _) = gradient_of(predicted, target, **options)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert not np.any(gradient[0, 1])
    assert np.any(gradient[0, 0])
    assert not np.any(steps_of(predicted, target, **options).predicted[0, 1])


def test_huge_finite_maps_are_matched_without_overflow():
    maps = random_maps(6)[0]
    cost = matching_cost(*(m.reshape(2, 3, 3, 4) for m in (maps * 1e30, maps[:, ::-1])), size=20)
    assert np.isfinite(cost).all()
    np.testing.assert_allclose(cost[:, [0, 1, 2], [2, 1, 0]], 0.0, atol=1e-6)


@pytest.mark.parametrize("which", [0, 1])
def test_a_map_that_is_not_finite_is_never_hidden(which):
    maps = random_maps(7).at[which, 1, 2, 3].set(jnp.nan)
    options = {"detached": jnp.zeros((2, 3), bool), "grid": (3, 4), "size": 20}
    steps = steps_of(maps[0], maps[1], **options)
    assert np.isnan(steps.dice).tolist() == [False, True]
    assert sorted(np.asarray(steps.assignment[1]).tolist()) == [0, 1, 2]
    assert np.isnan(loss_of(maps[0], maps[1], **options))


def test_a_batch_spread_over_eight_devices_gives_the_same_loss_and_gradient():
    mesh = parallel.make_mesh((-1, 1, 1))
    over_batch = jax.sharding.PartitionSpec(("data", "fsdp"))
    # Left to the compiler, the solver's loop would ask all devices whether all are done.
    match = jax.shard_map(
        match_maps, mesh=mesh, in_specs=over_batch, out_specs=over_batch, check_vma=False
    )
    predicted, target = random_maps(9, (8, 3, 12))
    inputs = (predicted, target, jnp.zeros((8, 1), bool))

    def loss(solve):
        def of(p, t, d):
            return mask_consistency(p, t, detached=d, grid=(3, 4), size=20, match=solve)

        return jax.jit(jax.value_and_grad(of))

    one = loss(match_maps)(*inputs)
    spread = [jax.device_put(x, parallel.batch_sharding(mesh)) for x in inputs]
    compiled = loss(match).lower(*spread).compile()
    eight = compiled(*spread)
    np.testing.assert_allclose(eight[0], one[0], rtol=1e-6)
    np.testing.assert_allclose(eight[1], one[1], atol=1e-7)
    program = compiled.as_text()
    assert "all-gather" not in program
    assert program.count(" all-reduce(") <= 1


def test_perfectly_predicted_masks_have_almost_no_loss():
    target = jnp.where(jnp.arange(2 * 3 * 16).reshape(2, 3, 16) % 5 < 2, 60.0, -60.0)
    mask = upsample(target.reshape(2, 3, 4, 4), 4)  # the same grid: nothing in between
    np.testing.assert_array_equal(stretch(mask), binarize(mask))
    loss = loss_of(target[:, ::-1], target, detached=jnp.zeros((2, 3), bool), grid=(4, 4), size=4)
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)


def test_a_grid_of_another_size_is_an_error_that_says_so():
    predicted, target = random_maps(8)
    with pytest.raises(ValueError, match="expected 4 x 4 patches a map, got 12"):
        mask_consistency(predicted, target, detached=jnp.zeros((2, 3), bool), grid=(4, 4), size=16)
    with pytest.raises(ValueError, match="at most 3 detached flags, got 4"):
        mask_consistency(predicted, target, detached=jnp.zeros((2, 4), bool), grid=(3, 4), size=16)
