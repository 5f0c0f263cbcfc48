"""One process of a run of several, with two fake devices: trains the stand-in model twice.

In the folder ``whole`` it trains from the first step on, in ``resumed`` it goes on with what
another number of processes has begun. Arguments: the folder above both, this process, how many
there are, a port. What the processes agree on is noted in ``agreed_PROCESS.json``.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import jax

from ovs_jax import parallel
from ovs_jax.training.state import Plan
from ovs_jax.training.step import StepConfig, make_step
from tests.training.stand_in import FROZEN, WITHOUT_GRADIENT, make_plan, objective, train

STEPS, HALF = 10, 5


def prepared(shape: tuple[int, int, int]) -> tuple[Plan, Any]:
    """The plan and the step of all runs that are compared."""
    plan = make_plan(shape, frozen=(*FROZEN, WITHOUT_GRADIENT))
    return plan, make_step(plan, objective, StepConfig())


def main() -> None:
    folder, (process, count, port) = Path(sys.argv[1]), map(int, sys.argv[2:])
    jax.config.update("jax_num_cpu_devices", 2)
    os.environ["JAX_COORDINATOR_ADDRESS"] = f"localhost:{port}"
    os.environ["JAX_NUM_PROCESSES"], os.environ["JAX_PROCESS_ID"] = str(count), str(process)
    parallel.initialize()
    agreement = parallel.Agreement("test")
    agreed = [agreement.largest(number) for number in (process, -process, 10 * process)]
    (folder / f"agreed_{process}.json").write_text(json.dumps(agreed))
    plan, step = prepared((2, count, 1))
    for name in ("whole", "resumed"):
        train(plan, step, folder / name, steps=STEPS, save_every=HALF)


if __name__ == "__main__":
    main()
