# Sourced by the other scripts: makes a virtual environment with this package and pinned requirements.

# The first Python of 3.11 or newer on the path.
find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "expected Python 3.11 or newer, found $(python3 --version 2>&1 || echo none); set PYTHON=/path/to/python" >&2
  return 1
}

# make_environment FOLDER [EXTRAS]: does nothing where it has been made for these requirements.
make_environment() {
  local folder=$1 extras=${2:+[$2]} python stamp
  python=$(find_python)
  stamp=$(cat pyproject.toml constraints.txt <(echo "$extras") | cksum)
  if [ "$(cat "$folder/.made-for" 2>/dev/null)" = "$stamp" ]; then
    return
  fi
  echo "== environment: $folder ($("$python" --version))"
  if ! "$python" -m venv "$folder" 2>/dev/null; then
    # Debian packs venv apart from Python.
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    "$python" -m venv "$folder"
  fi
  "$folder/bin/python" -m pip install --quiet --upgrade pip
  "$folder/bin/python" -m pip install --constraint constraints.txt --editable ".$extras"
  echo "$stamp" >"$folder/.made-for"
}
