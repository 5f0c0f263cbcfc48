#!/usr/bin/env bash
# Trains on a Cloud TPU pod slice that exists: the same command on each of its hosts.
#
#   TPU=my-v5p ZONE=us-east5-a PROJECT=mine bash scripts/launch/tpu_pod.sh [--dry-run] \
#       --config=ovsegmentor/stage1 --workdir=/mnt/bucket/runs/stage1 ...
#   TPU=... ZONE=... PROJECT=... bash scripts/launch/tpu_pod.sh [--dry-run] --install
#
# --install copies this checkout to all hosts and installs it there with jax[tpu]. All other words
# go to `ovs-jax train`. The working folder must be one that all hosts see, such as a bucket that is
# mounted on each. A preempted slice is made again by a queued resource; then give the same command
# to go on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/dry_run.sh"
read_dry_run "$@"
need TPU "the name of the slice"
need ZONE "the zone it is in"
need PROJECT "the project it belongs to"

where=(--zone="$ZONE" --project="$PROJECT" --worker=all)
folder=${FOLDER:-ovs-jax}
if [ "${rest[0]:-}" = --install ]; then
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  run gcloud compute tpus tpu-vm scp --recurse "$root" "$TPU:$folder" "${where[@]}"
  run gcloud compute tpus tpu-vm ssh "$TPU" "${where[@]}" --command="cd $folder && \
python3 -m venv .venv && .venv/bin/pip install --constraint constraints.txt --editable '.[tpu]'"
  exit 0
fi
train=$(quoted .venv/bin/ovs-jax train --config.parallel.distributed=on "${rest[@]}")
run gcloud compute tpus tpu-vm ssh "$TPU" "${where[@]}" --command="cd $folder && $train"
