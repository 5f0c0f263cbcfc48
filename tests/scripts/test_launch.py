"""Launch files: what they would run, word by word."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "launch"
SETTING = "--config.data.sets=[{'source': 'two words'}]"
WORDS = ["--config=ovsegmentor/stage1", "--workdir=/runs/first run", SETTING]
TPU = {"ZONE": "us-east5-a", "PROJECT": "mine"}
FILES: dict[str, dict[str, str]] = {
    "gpus.sh": {"GPUS": "0,1"},
    "slurm.sh": {"NODES": "4", "GPUS_PER_NODE": "8", "SBATCH_OPTIONS": "--partition=gpu"},
    "tpu_pod.sh": TPU | {"TPU": "slice"},
    "xpk.sh": TPU | {"CLUSTER": "ours", "TPU_TYPE": "v5p-2048", "IMAGE": "gcr.io/mine/ovs"},
}


def launch(name: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]} | variables
    return subprocess.run(
        ["bash", str(FOLDER / name), *words], env=environment, capture_output=True, text=True
    )


def dry_run(name: str, *words: str) -> tuple[list[str], list[str]]:
    """The exported variables, and the words of the command."""
    done = launch(name, "--dry-run", *words, **FILES[name])
    assert done.returncode == 0, done.stderr
    *exports, command = done.stdout.splitlines()
    return [line.removeprefix("export ") for line in exports], shlex.split(command)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.sh")), ids=lambda file: file.name)
def test_every_launch_file_is_valid_bash_and_tested(file: Path) -> None:
    assert subprocess.run(["bash", "-n", str(file)]).returncode == 0
    assert file.name in {*FILES, "dry_run.sh"}


def test_one_process_drives_all_gpus_of_a_host() -> None:
    exports, command = dry_run("gpus.sh", *WORDS)
    assert exports == ["XLA_PYTHON_CLIENT_MEM_FRACTION=0.92", "CUDA_VISIBLE_DEVICES=0,1"]
    assert command == ["ovs-jax", "train", "--stopped-status=143", *WORDS]


def test_slurm_starts_a_process_a_gpu_and_queues_again_what_it_stopped() -> None:
    _, command = dry_run("slurm.sh", *WORDS)
    job = command.pop().removeprefix("--wrap=")
    assert command[0] == "sbatch"
    assert {"--nodes=4", "--ntasks-per-node=8", "--gpus-per-node=8", "--requeue"} <= {*command}
    assert {"--signal=TERM@120", "--partition=gpu"} <= {*command}
    first, _, rest = job.partition(";")
    assert shlex.split(first)[2:] == ["ovs-jax", "train", "--stopped-status=143", *WORDS]
    assert "if [ $status = 143 ]; then scontrol requeue $SLURM_JOB_ID; fi" in rest


def test_every_host_of_a_slice_runs_the_same_command() -> None:
    _, command = dry_run("tpu_pod.sh", *WORDS)
    on_host = command.pop().removeprefix("--command=")
    assert command == [
        *("gcloud", "compute", "tpus", "tpu-vm", "ssh", "slice"),
        *("--zone=us-east5-a", "--project=mine", "--worker=all"),
    ]
    folder, train = on_host.split(" && ")
    assert folder == "cd ovs-jax"
    assert shlex.split(train)[-4:] == ["--config.parallel.distributed=on", *WORDS]


def test_kubernetes_starts_a_preempted_run_again() -> None:
    _, command = dry_run("xpk.sh", *WORDS)
    train = command.pop().removeprefix("--command=")
    assert command[:4] == ["xpk", "workload", "create", "--cluster=ours"]
    assert {"--tpu-type=v5p-2048", "--max-restarts=20", "--num-slices=1"} <= {*command}
    assert shlex.split(train)[:3] == ["ovs-jax", "train", "--stopped-status=143"]


def test_without_dry_run_the_command_is_run() -> None:
    done = launch("gpus.sh", "--config=a", OVS_JAX="echo")
    assert done.stdout == "train --stopped-status=143 --config=a\n"


def test_what_is_missing_is_named() -> None:
    done = launch("xpk.sh", "--dry-run", "--config=a")
    assert done.returncode == 2
    assert done.stderr == "xpk.sh: set CLUSTER, the name of the cluster\n"
