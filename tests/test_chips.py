"""Published rates of devices."""

import pytest

from ovs_jax import chips


def test_the_peak_of_a_device_is_found_by_a_part_of_its_kind() -> None:
    assert chips.peak_flops("NVIDIA H200", "bfloat16") == 989.5e12
    assert chips.peak_flops("NVIDIA H100 PCIe", "float32") == 378e12
    assert chips.peak_flops("cpu", "float32") is None


@pytest.mark.parametrize("chip", chips.TPUS.values(), ids=str)
def test_both_tables_agree_on_tpus(chip: chips.Chip) -> None:
    assert chips.peak_flops(chip.kind, "bfloat16") == chip.flops


def test_a_link_of_a_chip_in_a_torus_of_three_dimensions_is_a_sixth_of_them_all() -> None:
    assert chips.TPUS["v5p"].link == pytest.approx(100e9)
