#!/usr/bin/env bash
# Trains on TPU slices of a GKE cluster by XPK (github.com/AI-Hypercomputer/xpk).
#
#   CLUSTER=mine PROJECT=mine ZONE=us-east5-a TPU_TYPE=v5p-2048 IMAGE=gcr.io/mine/ovs-jax \
#       bash scripts/launch/xpk.sh [--dry-run] --config=ovsegmentor/stage1 \
#       --workdir=/gcs/runs/stage1 ...
#
# IMAGE has ovs-jax[tpu] installed. All words go to `ovs-jax train`; the working folder must be one
# that all pods see, such as a mounted bucket. A run that was preempted has saved and ends with
# status 143, so that Kubernetes starts it again, MAX_RESTARTS times at most.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/dry_run.sh"
read_dry_run "$@"
need CLUSTER "the name of the cluster"
need PROJECT "the project it belongs to"
need ZONE "the zone it is in"
need TPU_TYPE "the kind and size of a slice, such as v5p-2048"
need IMAGE "a container image with ovs-jax[tpu]"

train=$(quoted ovs-jax train --stopped-status=143 --config.parallel.distributed=on "${rest[@]}")
run xpk workload create --cluster="$CLUSTER" --project="$PROJECT" --zone="$ZONE" \
  --workload="${NAME:-ovs-jax}" --tpu-type="$TPU_TYPE" --num-slices="${SLICES:-1}" \
  --docker-image="$IMAGE" --max-restarts="${MAX_RESTARTS:-20}" --command="$train"
