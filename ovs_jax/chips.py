"""Accelerators: what their makers publish about them.

TPU figures are those of Google Cloud's pages on each version (docs.cloud.google.com/tpu/docs/v5e,
v5p, v6e, read in November 2026); GPU peaks are from NVIDIA's data sheets, dense, without sparsity.
Rates are decimal (10**9 bytes/s), memory is binary (2**30 bytes).
"""

from dataclasses import dataclass

_GIBI, _GIGA, _TERA = 2**30, 1e9, 1e12


@dataclass(frozen=True)
class Chip:
    """One TPU chip.

    Attributes:
      name: as topologies are named, such as ``v5p``.
      kind: what JAX calls its devices.
      flops: dense bfloat16 FLOP/s. A float32 product at JAX's default precision runs at the same
        rate, as one bfloat16 pass.
      memory: bytes of HBM.
      bandwidth: of the HBM, bytes/s.
      links: bytes/s that all its links to other chips can send together, one way.
      dimensions: of the torus the chips form; a chip has two links in each.
    """

    name: str
    kind: str
    flops: float
    memory: int
    bandwidth: float
    links: float
    dimensions: int

    @property
    def link(self) -> float:
        """Bytes/s that one link can send."""
        return self.links / (2 * self.dimensions)


TPUS = {
    chip.name: chip
    for chip in (
        # Published: 16 GB, 819 GB/s, 400 GB/s over all links and both ways.
        Chip("v5e", "TPU v5 lite", 197 * _TERA, 16 * _GIBI, 819 * _GIGA, 200 * _GIGA, 2),
        # Published: 95 GiB, 2765 GB/s, 1200 GB/s.
        Chip("v5p", "TPU v5", 459 * _TERA, 95 * _GIBI, 2765 * _GIGA, 600 * _GIGA, 3),
        # Published: 32 GB, 1638 GB/s, 800 GB/s.
        Chip("v6e", "TPU v6 lite", 918 * _TERA, 32 * _GIBI, 1638 * _GIGA, 400 * _GIGA, 2),
    )
}
_PEAKS: tuple[tuple[str, float, float], ...] = (
    # A part of the device kind, then bfloat16 and float32 (TF32 on GPUs) in TFLOP/s.
    ("H200", 989.5, 494.7),
    ("H100 PCIe", 756.0, 378.0),
    ("H100 NVL", 835.0, 417.5),
    ("H100", 989.5, 494.7),
    ("A100", 312.0, 156.0),
    ("TPU v6", 918.0, 918.0),
    ("TPU v5 lite", 197.0, 197.0),
    ("TPU v5e", 197.0, 197.0),
    ("TPU v5", 459.0, 459.0),
    ("TPU v4", 275.0, 275.0),
)


def peak_flops(kind: str, dtype: str) -> float | None:
    """The published peak of a device in FLOP/s.

    Args:
      kind: ``jax.Device.device_kind``.
      dtype: ``bfloat16`` or ``float32`` (at JAX's default precision).

    Returns:
      The dense peak, or None where the device is not in the table.
    """
    for part, bfloat16, float32 in _PEAKS:
        if part.lower() in kind.lower():
            return {"bfloat16": bfloat16, "float32": float32}[dtype] * _TERA
    return None
