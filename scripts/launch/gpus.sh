#!/usr/bin/env bash
# Trains on all GPUs of one host: one process drives them all.
#
#   bash scripts/launch/gpus.sh [--dry-run] --config=ovsegmentor/stage1 --workdir=runs/stage1 ...
#
# All words go to `ovs-jax train`. A run that SIGTERM stopped has saved, and this script ends with
# status 143; give the same command to go on. GPUS="0,1" takes some of the GPUs only.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/dry_run.sh"
read_dry_run "$@"

environment+=(XLA_PYTHON_CLIENT_MEM_FRACTION="${MEMORY_FRACTION:-0.92}")
if [ -n "${GPUS:-}" ]; then
  environment+=(CUDA_VISIBLE_DEVICES="$GPUS")
fi
run "${OVS_JAX:-ovs-jax}" train --stopped-status=143 "${rest[@]}"
