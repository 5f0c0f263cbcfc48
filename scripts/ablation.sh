#!/usr/bin/env bash
# What each training task adds, at equal cost, three seeds: bash scripts/ablation.sh [--seeds N] [--steps N]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
make_environment .venv
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$PWD/.jax_cache}"
exec .venv/bin/python scripts/ablation.py "$@"
