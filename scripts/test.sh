#!/usr/bin/env bash
# Makes a test environment and runs everything: lint, format, types, tests, and the wheel by itself.
#
#   bash scripts/test.sh                      everything
#   bash scripts/test.sh --reference          the same, and the tests against torch and transformers
#   bash scripts/test.sh tests/training -x    arguments go to pytest
#
# --reference, which must come first, installs torch 2.13.0 (a CPU build of some 200 MB where the
# package index has one) and transformers into the environment. The package itself needs neither.
#
# PYTHON names the interpreter (3.11 or newer), VENV the environment (.venv-test), JAX_CACHE the
# folder of compiled programs (.jax_cache), which makes a second run much shorter, WORKERS how many
# processes share the tests (2).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

source scripts/environment.sh
venv=${VENV:-.venv-test}
export JAX_CACHE=${JAX_CACHE:-$PWD/.jax_cache}
extras=test
if [ "${1:-}" = --reference ]; then
  shift
  extras=test,reference
fi
make_environment "$venv" "$extras"
bin=$PWD/$venv/bin
case $venv in /*) bin=$venv/bin ;; esac

say "ruff check"
"$bin/ruff" check .
say "ruff format"
"$bin/ruff" format --check .
say "pyright"
"$bin/pyright" --pythonpath "$bin/python"
say "pytest $*"
"$bin/python" -m pytest -n "${WORKERS:-2}" --dist loadfile "$@"

say "the wheel, by itself"
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
"$bin/python" -m build --wheel --no-isolation --outdir "$target" . >"$target/log" 2>&1 ||
    { cat "$target/log" >&2; exit 1; }
"$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --target "$target/site" "$target"/*.whl
(
    cd "$target" # away from the checkout, so that only the wheel is found
    export PYTHONPATH=$target/site JAX_COMPILATION_CACHE_DIR=$JAX_CACHE
    "$bin/python" -c "import ovs_jax, sys; sys.exit(not ovs_jax.__file__.startswith('$target'))"
    "$bin/python" -m ovs_jax train --config=quickstart/stage1:smoke --workdir=run \
        --config.steps=2 --config.evaluation.limit=2
)
say "all good"
