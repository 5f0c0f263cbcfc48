#!/usr/bin/env bash
# Makes a test environment and runs everything: lint, format, types, tests, and the wheel by itself.
#
#   bash scripts/test.sh                      everything
#   bash scripts/test.sh tests/training -x    arguments go to pytest
#
# PYTHON names the interpreter (3.11 or newer), VENV the environment (.venv-test), JAX_CACHE the
# folder of compiled programs (.jax_cache), which makes a second run much shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

venv=${VENV:-$PWD/.venv-test}
export JAX_CACHE=${JAX_CACHE:-$PWD/.jax_cache}
make_environment "$venv" test
bin=$venv/bin

say() { printf '\n== %s\n' "$*"; }

say "ruff check"
"$bin/ruff" check .
say "ruff format"
"$bin/ruff" format --check .
say "pyright"
"$bin/pyright" --pythonpath "$bin/python"
say "pytest $*"
"$bin/python" -m pytest "$@"

say "the wheel, by itself"
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
if ! "$bin/python" -m build --wheel --no-isolation --outdir "$target" . >"$target/log" 2>&1; then
  cat "$target/log" >&2
  exit 1
fi
"$bin/python" -m pip install --quiet --no-deps --target "$target/site" "$target"/*.whl
(
  cd "$target" # away from the checkout, so that only the wheel is found
  export PYTHONPATH=$target/site JAX_COMPILATION_CACHE_DIR=$JAX_CACHE
  "$bin/python" -c "import ovs_jax, sys; sys.exit(not ovs_jax.__file__.startswith('$target'))"
  "$bin/python" -m ovs_jax train --config=quickstart/stage1:smoke --workdir=run \
    --config.steps=2 --config.schedule.warmup_steps=0 --config.evaluation.limit=2
)
say "all good"
