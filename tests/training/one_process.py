"""One process of a run of several: trains the stand-in model and keeps its weights.

It also reads one epoch of images with captions, and notes which records it read.

Arguments: the run's folder, the steps, this process, the number of processes, a port.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np

from ovs_jax import parallel
from ovs_jax.data.pipeline import PipelineConfig, training_batches
from ovs_jax.nn import functional
from ovs_jax.text.tokenizers import load_tokenizer
from ovs_jax.training import loop
from ovs_jax.training.loop import LoopConfig
from ovs_jax.training.start import InitConfig, start
from ovs_jax.training.step import StepConfig, make_step
from ovs_jax.training.writer import Writer
from tests.training.stand_in import batch, make_plan, objective, open_run


class Numbered:
    """Records that are noted when they are read; all captions share an entity."""

    def __init__(self) -> None:
        self.read: set[int] = set()

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read.add(index)
        image = np.zeros((8, 8, 3), np.uint8)
        return {"image": image, "caption": "a dog", "key": str(index)}

    def captions(self) -> list[str]:
        return ["a dog"] * len(self)


def records_of_an_epoch() -> list[int]:
    """The records that this process reads for its part of every batch and their partners."""
    source = Numbered()
    config = PipelineConfig(
        8,
        8,
        4,
        fields=("image", "cross_image"),
        threads=0,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    batches = training_batches(source, load_tokenizer("synthetic"), config)
    for _ in range(batches.steps_per_epoch):
        next(batches)
    batches.close()
    return sorted(source.read)


def main() -> None:
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    process, count, port = (int(word) for word in sys.argv[3:])
    jax.config.update("jax_num_cpu_devices", 2 // count)
    if count > 1:
        os.environ["JAX_COORDINATOR_ADDRESS"] = f"localhost:{port}"
        os.environ["JAX_NUM_PROCESSES"], os.environ["JAX_PROCESS_ID"] = str(count), str(process)
    parallel.initialize()
    (folder / f"records_{process}.json").write_text(json.dumps(records_of_an_epoch()))

    def mine(step: int) -> Any:
        rows = batch(8, seed=step)
        part = slice(process * 8 // count, (process + 1) * 8 // count)
        return jax.tree.map(lambda x: x[part], rows)

    batches = iter(grain.MapDataset.range(100).map(mine).to_iter_dataset())
    plan, checkpoints = make_plan((1, 2, 1)), open_run(folder)
    state = start(plan, checkpoints, batches, seed=0, init=InitConfig())
    writer = Writer(folder, step=int(state["step"]), steps=steps, enabled=process == 0)
    outcome = loop.train(
        plan,
        make_step(plan, objective, StepConfig()),
        state,
        batches,
        config=LoopConfig(steps=steps, log_every=1, save_every=100),
        checkpoints=checkpoints,
        writer=writer,
    )
    checkpoints.close()
    everywhere = parallel.replicated(plan.mesh)
    gather = jax.jit(lambda tree: tree, out_shardings=everywhere)
    if (weights := jax.device_get(gather(outcome.state["params"]))) and process == 0:
        np.savez(folder / f"weights_{steps}.npz", **functional.paths(weights))


if __name__ == "__main__":
    main()
