#!/usr/bin/env bash
# Submits a training run to Slurm, one process a GPU; JAX finds the others by Slurm's variables.
#
#   NODES=4 GPUS_PER_NODE=8 HOURS=24 bash scripts/launch/slurm.sh [--dry-run] \
#       --config=ovsegmentor/stage1 --workdir=/shared/runs/stage1 ...
#
# All words go to `ovs-jax train`; the working folder must be on a file system that all nodes share.
# Two minutes before the time is up, or when the job is preempted, Slurm sends SIGTERM: the run
# saves, and the job puts itself into the queue again until the run is finished. SBATCH_OPTIONS
# holds what the cluster wants besides, such as "--partition=gpu --account=vision".
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/dry_run.sh"
read_dry_run "$@"

nodes=${NODES:-1} gpus=${GPUS_PER_NODE:-8} hours=${HOURS:-24} name=${NAME:-ovs-jax}
read -r -a options <<<"${SBATCH_OPTIONS:-}"
train=$(quoted "${OVS_JAX:-ovs-jax}" train --stopped-status=143 "${rest[@]}")
# srun's status is the largest of its tasks: 143 where they have saved and stopped.
job="srun --kill-on-bad-exit=0 $train; status=\$?; \
if [ \$status = 143 ]; then scontrol requeue \$SLURM_JOB_ID; fi; exit \$status"
run sbatch --job-name="$name" --nodes="$nodes" --ntasks-per-node="$gpus" \
  --gpus-per-node="$gpus" --cpus-per-task="${CPUS_PER_GPU:-12}" --time="$hours:00:00" \
  --signal=TERM@120 --requeue --open-mode=append --output="${LOG:-$name-%j.log}" \
  "${options[@]}" --wrap="$job"
