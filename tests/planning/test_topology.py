"""Machines by name."""

from collections.abc import Iterator

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from ovs_jax.planning import topology
from ovs_jax.planning.topology import Topology


@pytest.mark.parametrize(
    ("name", "dims", "diameter"),
    [("v5p:8x8x16", (8, 8, 16), 16), ("v5e:4x4", (4, 4), 4), ("cpu:8", (8,), 4)],
)
def test_a_name_tells_chip_and_shape(name: str, dims: tuple[int, ...], diameter: int) -> None:
    machine = topology.topology(name)
    assert (machine.dims, machine.diameter) == (dims, diameter)
    assert (machine.chip is None) == name.startswith("cpu")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v7:4x4", "expected one of v5e, v5p, v6e or cpu"),
        ("v5p:4x4", "a shape such as v5p:4x4x4"),
        ("v5e", "a shape such as v5e:4x4"),
        ("cpu:2x4", "a shape such as cpu:8"),
    ],
)
def test_a_name_that_is_none_says_what_one_looks_like(name: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        topology.topology(name)


def test_devices_of_this_computer_must_be_as_many_as_asked_for() -> None:
    assert topology.devices(Topology("cpu:8", (8,), None)) == jax.devices()
    with pytest.raises(ValueError, match="expected 3 CPU devices, but JAX has started with 8"):
        topology.devices(Topology("cpu:3", (3,), None))


def test_without_the_tpu_compiler_the_error_tells_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topology, "installed", lambda: False)
    with pytest.raises(ImportError, match=r"pip install 'ovs-jax\[plan\]'"):
        topology.devices(topology.topology("v5e:4x4"))


@pytest.fixture
def cache_afterwards() -> Iterator[None]:
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("cache_afterwards")
def test_programs_for_chips_that_are_not_there_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JAX writes them to its cache and then cannot read them: the second plan would warn."""
    monkeypatch.setattr(topology.os, "environ", {})
    topology.prepare(topology.topology("v5e:4x4"))
    assert not jax.config.jax_enable_compilation_cache
    assert topology.os.environ["TPU_SKIP_MDS_QUERY"] == "1"
