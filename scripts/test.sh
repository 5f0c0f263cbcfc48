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

say() { printf '\n== %s\n' "$*"; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "ovs_jax needs Python 3.11 or newer; found ${python:-none}. Set PYTHON=/path/to/python." >&2
    exit 1
fi

venv=${VENV:-.venv-test}
export JAX_CACHE=${JAX_CACHE:-$PWD/.jax_cache}
stamp=$(cat constraints.txt pyproject.toml | cksum)
if [ "$(cat "$venv/stamp" 2>/dev/null || true)" != "$stamp" ]; then
    say "making $venv with $("$python" --version)"
    "$python" -m venv "$venv" || {
        echo "no virtual environment could be made; on Debian: apt install python3-venv" >&2
        exit 1
    }
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable ".[test]"
    echo "$stamp" >"$venv/stamp"
fi
bin=$PWD/$venv/bin
case $venv in /*) bin=$venv/bin ;; esac

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
