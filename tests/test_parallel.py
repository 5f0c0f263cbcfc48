"""Meshes, layouts and batches on eight fake devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

from ovs_jax import parallel
from ovs_jax.losses.matching import match_maps
from ovs_jax.nn import functional


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_the_mesh_has_three_automatic_axes_and_fills_the_devices() -> None:
    mesh = parallel.make_mesh((-1, 2, 1))
    assert dict(mesh.shape) == {"data": 4, "fsdp": 2, "tensor": 1}
    assert set(mesh.axis_types) == {AxisType.Auto}
    assert parallel.batch_shards(mesh) == 8


@pytest.mark.parametrize("sizes", [(3, 1, 1), (-1, -1, 1), (8, 1), (0, 8, 1), (16, 1, 1)])
def test_a_mesh_that_does_not_fit_the_devices_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="parallel"):
        parallel.make_mesh(sizes)


def test_large_parameters_are_split_along_their_longest_even_axis() -> None:
    mesh = parallel.make_mesh((1, 4, 2))
    shapes = {
        "wide": shape(64, 256),
        "odd": shape(1023, 64),
        "tiny": shape(8),
        "never": shape(1023, 1021),
    }
    rules = (("tiny", PartitionSpec("tensor")), (".*", parallel.FullyShard(minimum_size=1000)))
    layout = parallel.parameter_shardings(shapes, mesh, rules=rules)
    assert {path: sharding.spec for path, sharding in layout.items()} == {
        "wide": PartitionSpec(None, "fsdp"),
        "odd": PartitionSpec(None, "fsdp"),
        "tiny": PartitionSpec("tensor"),
        "never": PartitionSpec(),
    }


def test_the_first_matching_rule_decides_and_what_none_matches_is_repeated() -> None:
    mesh = parallel.make_mesh((2, 2, 2))
    shapes = {"a": {"kernel": shape(4, 4)}, "b": {"kernel": shape(4, 4)}}
    rules = (("a/.*", PartitionSpec("tensor")), (".*/kernel", PartitionSpec("fsdp")))
    layout = functional.paths(parallel.parameter_shardings(shapes, mesh, rules=rules[:1]))
    assert layout["b/kernel"].spec == PartitionSpec()
    layout = functional.paths(parallel.parameter_shardings(shapes, mesh, rules=rules))
    assert layout["a/kernel"].spec == PartitionSpec("tensor")
    assert layout["b/kernel"].spec == PartitionSpec("fsdp")


def test_a_rule_for_an_axis_that_is_none_is_named() -> None:
    shapes = {"kernel": jax.ShapeDtypeStruct((8, 8), jnp.float32)}
    rules = [("kernel", PartitionSpec(("data", "fdsp")))]
    with pytest.raises(ValueError, match=r"'kernel' names the axes \['fdsp'\], expected some of"):
        parallel.parameter_shardings(shapes, parallel.make_mesh((8, 1, 1)), rules=rules)


def test_every_parameter_that_a_spec_does_not_fit_is_named() -> None:
    mesh = parallel.make_mesh((1, 8, 1))
    shapes = {"odd": shape(6, 8), "vector": shape(8), "fine": shape(8, 8)}
    with pytest.raises(ValueError, match=r"odd \(6, 8\).*vector \(8,\)") as error:
        parallel.parameter_shardings(shapes, mesh, rules=((".*", PartitionSpec("fsdp", None)),))
    assert "fine" not in str(error.value)


def test_optimizer_moments_lie_where_their_parameters_lie() -> None:
    mesh = parallel.make_mesh((2, 4, 1))
    params = {"encoder": {"kernel": shape(8, 16), "scale": shape(16)}, "frozen": shape(4, 4)}
    trainable = {"encoder": params["encoder"]}
    shapes = {
        "params": params,
        "optimizer": jax.eval_shape(optax.adamw(1e-3).init, trainable),
        "step": jax.ShapeDtypeStruct((), jnp.int32),
    }
    layout = parallel.state_shardings(shapes, mesh, rules=((".*", parallel.FullyShard(1)),))
    assert layout["step"].spec == PartitionSpec()
    adam = layout["optimizer"][0]
    assert adam.count.spec == PartitionSpec()
    assert adam.mu["encoder"]["kernel"].spec == PartitionSpec(None, "fsdp")
    assert adam.nu["encoder"]["scale"].spec == PartitionSpec("fsdp")
    assert layout["params"]["frozen"].spec == PartitionSpec("fsdp", None)


def test_a_batch_is_split_by_rows_over_data_and_fsdp() -> None:
    mesh = parallel.make_mesh((2, 2, 2))
    batch = {
        "image": np.arange(8 * 3, dtype=np.float32).reshape(8, 3),
        "caption": {"ids": np.arange(8, dtype=np.int32)[:, None]},
    }
    placed = parallel.shard_batch(batch, mesh)
    np.testing.assert_array_equal(placed["image"], batch["image"])
    assert {shard.data.shape for shard in placed["image"].addressable_shards} == {(2, 3)}
    with pytest.raises(ValueError, match=r"6 rows .* 4 devices"):
        parallel.shard_batch({"image": np.zeros((6, 3), np.float32)}, mesh)


def test_arrays_of_the_host_go_where_they_belong() -> None:
    mesh = parallel.make_mesh((2, 4, 1))
    tree = {"kernel": np.arange(32, dtype=np.float32).reshape(8, 4), "scale": np.ones(())}
    layout = parallel.parameter_shardings(tree, mesh, rules=((".*", parallel.FullyShard(1)),))
    placed = parallel.place(tree, layout)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(placed), tree)
    assert jax.tree.map(lambda x: x.sharding, placed) == layout
    assert placed["kernel"].addressable_shards[0].data.shape == (2, 4)


def test_microbatches_hold_every_row_once_without_leaving_their_device() -> None:
    mesh = parallel.make_mesh((8, 1, 1))
    batch = parallel.shard_batch({"image": np.arange(32, dtype=np.float32)[:, None]}, mesh)
    cut = jax.jit(lambda batch: parallel.microbatches(batch, 4, mesh=mesh))
    parts = cut(batch)["image"]
    assert parts.shape == (4, 8, 1)
    np.testing.assert_array_equal(parts[1, :, 0], np.arange(1, 32, 4))
    text = cut.lower(batch).compile().as_text()
    assert not any(word in text for word in ("all-to-all", "all-gather", "collective-permute"))


def test_a_solver_mapped_over_the_batch_finds_the_same_without_communication() -> None:
    mesh = parallel.make_mesh((4, 2, 1))
    cost = jax.random.uniform(jax.random.key(0), (16, 4, 4))

    def solve(cost: jax.Array) -> jax.Array:
        with parallel.visible(mesh):
            return parallel.map_over_batch(match_maps)(cost)

    program = jax.jit(solve, in_shardings=parallel.batch_sharding(mesh)).lower(cost).compile()
    assert not re.search("all-|collective", program.as_text())
    found = program(jax.device_put(cost, parallel.batch_sharding(mesh)))
    np.testing.assert_array_equal(found, match_maps(cost))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "8"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "host-0,host-1"}, True),
        ({"JAX_NUM_PROCESSES": "2"}, True),
    ],
)
def test_several_processes_are_expected_only_where_they_are_announced(
    environment: dict[str, str], expected: bool
) -> None:
    assert parallel._announced(environment) is expected


def test_an_unknown_mode_of_joining_processes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"parallel.distributed"):
        parallel.initialize("maybe")


def test_processes_may_be_given_by_hand_but_not_by_half() -> None:
    environment = {"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "2"}
    with pytest.raises(ValueError, match=r"all or none of .*JAX_PROCESS_ID"):
        parallel._given(environment)
    assert parallel._given(environment | {"JAX_PROCESS_ID": "1"}) == {
        "coordinator_address": "host:1",
        "num_processes": 2,
        "process_id": 1,
    }
    assert parallel._given({}) == {}
