# Sourced by the launch scripts: runs a command, or with --dry-run shows it and its environment.

dry_run=no
environment=()

# read_dry_run "$@": takes --dry-run away where it comes first; what is left is in ${rest[@]}.
read_dry_run() {
  rest=("$@")
  if [ "${1:-}" = --dry-run ]; then
    dry_run=yes
    rest=("${@:2}")
  fi
}

# need NAME MEANING: ends the script unless the variable NAME is set.
need() {
  if [ -z "${!1:-}" ]; then
    echo "${0##*/}: set $1, $2" >&2
    exit 2
  fi
}

# quoted WORD...: the words as a shell reads them back.
quoted() {
  local line
  printf -v line '%q ' "$@"
  printf '%s' "${line% }"
}

# run COMMAND...: with the variables in ${environment[@]}.
run() {
  if [ "$dry_run" = yes ]; then
    ((${#environment[@]} == 0)) || printf 'export %s\n' "${environment[@]}"
    quoted "$@"
    printf '\n'
    return 0
  fi
  ((${#environment[@]} == 0)) || export "${environment[@]}"
  "$@"
}
