#!/usr/bin/env bash
# Trains, evaluates and draws on a fresh machine: bash scripts/quickstart.sh [--model zegformer] [--seed N] [--out DIR] [--smoke]
# Needs Python 3.11 or newer and an index to install packages from; makes .venv beside this checkout's files.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
make_environment .venv
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$PWD/.jax_cache}"
exec .venv/bin/python scripts/quickstart.py "$@"
