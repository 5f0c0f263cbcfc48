"""Memory and values of the contrastive losses, plain and round a ring of fake CPU devices.

    python scripts/bench_loss.py --batch 16384 --width 256 --tile 256 --run

Loss and gradients are compiled for a batch split over the devices. Memory is what XLA says the
program needs on one device beyond its arguments and results. With --run both are computed, and the
largest difference of values and gradients is told, relative to their norm.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ovs_jax import parallel
from ovs_jax.losses.contrastive import contrastive
from ovs_jax.losses.sigmoid import sigmoid_contrastive
from ovs_jax.losses.tiles import tiled_sums, whole_sums

SCALE, BIAS = math.log(14.3), -10.0


def losses(tile: int) -> dict[str, Callable[..., Any]]:
    """Each loss, held whole (tile 0) or round the ring."""
    axes = parallel.BATCH_AXES
    sums = tiled_sums(tile, axes=axes) if tile else whole_sums
    bias = jnp.asarray(BIAS)
    return {
        "softmax": partial(contrastive, sums=sums),
        "sigmoid": partial(sigmoid_contrastive, logit_bias=bias, tile=tile, axes=axes),
    }


def compiled(loss: Callable[..., Any], shape: tuple[int, int], mesh: Any) -> Any:
    def on_mesh(image: jax.Array, text: jax.Array, scale: jax.Array) -> Any:
        with parallel.visible(mesh):
            call = lambda i, t, s: loss(i, t, logit_scale=s)  # noqa: E731
            return jax.value_and_grad(call, argnums=(0, 1, 2))(image, text, scale)

    rows = parallel.batch_sharding(mesh)
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=rows)
    one = jax.ShapeDtypeStruct((), jnp.float32, sharding=parallel.replicated(mesh))
    outputs = (parallel.replicated(mesh), (rows, rows, parallel.replicated(mesh)))
    return jax.jit(on_mesh, out_shardings=outputs).lower(leaf, leaf, one).compile()


def compare(name: str, parsed: argparse.Namespace, mesh: Any) -> dict[str, Any]:
    shape = (parsed.batch, parsed.width)
    programs = {
        kind: compiled(losses(tile)[name], shape, mesh)
        for kind, tile in (("plain", 0), ("ring", parsed.tile))
    }
    row: dict[str, Any] = {"loss": name}
    for kind, program in programs.items():
        row[f"{kind}_bytes"] = program.memory_analysis().temp_size_in_bytes
    row["plain_over_ring"] = row["plain_bytes"] / row["ring_bytes"]
    if parsed.run:
        first, second = jax.random.split(jax.random.key(0))
        image = jax.random.normal(first, shape)
        text = image + jax.random.normal(second, shape)
        placed = [jax.device_put(x, parallel.batch_sharding(mesh)) for x in (image, text)]
        scale, found = jax.device_put(jnp.asarray(SCALE), parallel.replicated(mesh)), {}
        for kind, program in programs.items():
            start = time.perf_counter()
            found[kind] = jax.device_get(program(*placed, scale))
            row[f"{kind}_seconds"] = time.perf_counter() - start
        pairs = zip(*(jax.tree.leaves(found[kind]) for kind in programs), strict=True)
        row["value"] = float(found["plain"][0])
        row["relative_differences"] = [
            float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a)) for a, b in pairs
        ]
    return row


def main(arguments: list[str] | None = None) -> int:
    """Compiles, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16384, help="pairs over all devices")
    parser.add_argument("--width", type=int, default=256, help="of the embeddings")
    parser.add_argument("--tile", type=int, default=256, help="texts that a device meets at a time")
    parser.add_argument("--devices", type=int, default=8, help="fake devices")
    parser.add_argument("--run", action="store_true", help="compute and compare values too")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parsed = parser.parse_args(arguments)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", parsed.devices)
    mesh, rows = parallel.make_mesh((-1, 1, 1)), []
    for name in ("softmax", "sigmoid"):
        row = compare(name, parsed, mesh)
        rows.append(row)
        print(
            f"{name}: batch {parsed.batch} x {parsed.width}, {parsed.devices} devices, tile "
            f"{parsed.tile}: plain {row['plain_bytes'] / 2**20:.1f} MiB, ring "
            f"{row['ring_bytes'] / 2**20:.1f} MiB a device, {row['plain_over_ring']:.1f} x"
        )
        if parsed.run:
            names = ("value", "by images", "by texts", "by scale")
            parts = zip(names, row["relative_differences"], strict=True)
            listed = ", ".join(f"{part} {difference:.1e}" for part, difference in parts)
            print(f"  relative differences: {listed}", flush=True)
    if parsed.json:
        parsed.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
